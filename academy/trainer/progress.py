"""How long it will still take, and how sure that is."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from academy.arena.paired import student_t

#: Blocks that are remembered of each size.
_BLOCKS_KEPT = 60


@dataclass(frozen=True)
class Memory:
    """What a pace looks back on: the last `window` steps, and blocks of `blocks` steps each.

    `least_drift` is the share of the time left by which the pace may change although no block
    showed it yet. The values were chosen on recorded trainings (docs/training.md).
    """

    window: int = 50
    blocks: tuple[int, ...] = (5, 10, 20)
    least_drift: float = 0.1


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

    That holds where steps scatter independently. On a machine that others use a slow minute follows
    a slow minute, and the pace of the steps to come is not that of the recent ones. So the rates of
    blocks of steps are compared, too (batch means; Law 2015, Simulation Modeling and Analysis,
    section 9.5): what they vary by beyond σ²/C, with C tokens a block, is drift, δ², and adds
    δ²·W². The scale of blocks that tells of the widest range counts, and δ is never less than a
    tenth of the rate: blocks that were alike do not promise that the next ones will be.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        memory = memory or Memory()
        self._least_drift = memory.least_drift
        self._drifts = [_Drift(size) for size in memory.blocks]
        self._steps: deque[tuple[int, float]] = deque(maxlen=memory.window)
        self._seen = 0

    def add(self, cost: int, seconds: float) -> None:
        """One step of `cost` tokens took `seconds`."""
        self._seen += 1
        self._steps.append((cost, seconds))
        if self._seen > 1:
            for each in self._drifts:
                each.add(cost, seconds)
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
        own = student_t(0.975, n - 1) ** 2 * scatter * cost * (1 + cost / done)
        drift = max(
            (self._least_drift * rate) ** 2, *(each.variance(scatter) for each in self._drifts)
        )
        half = math.sqrt(own + drift * cost**2)
        return Eta(seconds, max(0.0, seconds - half), seconds + half)


class _Drift:
    """How much the pace changes from one block of steps to another."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._blocks: deque[tuple[int, float]] = deque(maxlen=_BLOCKS_KEPT)
        self._open: list[tuple[int, float]] = []

    def add(self, cost: int, seconds: float) -> None:
        self._open.append((cost, seconds))
        if len(self._open) == self._size:
            costs, took = zip(*self._open, strict=True)
            self._blocks.append((sum(costs), sum(took)))
            self._open.clear()

    def variance(self, scatter: float) -> float:
        """Squared half-width, at 95%, of the rate of steps to come; 0 until there are two blocks.

        `scatter` is that of single steps, σ², of which blocks have their share without any drift.
        """
        n = len(self._blocks)
        if n < 2:
            return 0.0
        done = sum(cost for cost, _ in self._blocks)
        rate = sum(seconds for _, seconds in self._blocks) / done
        varied = sum(cost * (took / cost - rate) ** 2 for cost, took in self._blocks)
        beyond = varied / (n - 1) / (done / n) - scatter / (done / n)
        return student_t(0.975, n - 1) ** 2 * max(0.0, beyond)
