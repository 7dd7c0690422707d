"""How long it will still take, and how sure that is."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from academy.arena.paired import student_t

_WINDOW = 50


@dataclass(frozen=True)
class Eta:
    """Seconds that are left: the estimate and the ends of its 95% interval, None if unknown."""

    seconds: float | None
    low: float | None
    high: float | None


class Pace:
    """Seconds per token of the recent steps.

    Rows differ in length, so work is counted in tokens and not in steps. With steps of c_i tokens
    that took s_i seconds, the rate is r = Σs/Σc. The scatter of a step is taken to grow with its
    tokens, σ² = Σ(s_i - r·c_i)²/c_i / (n-1), so what is left, W tokens, takes r·W with the
    variance σ²·W·(1 + W/Σc): the scatter of the steps to come and that of the rate itself
    (the ratio estimator; Cochran 1977, Sampling Techniques, chapter 6).
    """

    def __init__(self) -> None:
        self._steps: deque[tuple[int, float]] = deque(maxlen=_WINDOW)
        self._seen = 0

    def add(self, cost: int, seconds: float) -> None:
        """One step of `cost` tokens took `seconds`."""
        self._seen += 1
        self._steps.append((cost, seconds))
        if self._seen == 3:
            self._steps.popleft()  # the first step also warms caches up, so it tells little

    def eta(self, cost: float) -> Eta:
        """Time for `cost` more tokens."""
        if not self._steps:
            return Eta(None, None, None)
        done = sum(step for step, _ in self._steps)
        rate = sum(seconds for _, seconds in self._steps) / done
        seconds = rate * cost
        n = len(self._steps)
        if n < 2:
            return Eta(seconds, None, None)
        scatter = sum((took - rate * step) ** 2 / step for step, took in self._steps) / (n - 1)
        half = student_t(0.975, n - 1) * math.sqrt(scatter * cost * (1 + cost / done))
        return Eta(seconds, max(0.0, seconds - half), seconds + half)
