"""Paired statistics: is the candidate better on the same items, and how sure is that?

Both models answer the same items, so the differences item by item are compared: what makes an item
easy or hard for both cancels out. Standard library only.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True)
class PairedGain:
    """Mean of base minus candidate over the items, with its confidence interval.

    For losses a gain above zero means that the candidate is better. One item alone says nothing
    about the spread: the interval is then infinite.
    """

    mean: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, Any]:
        """The fields for JSON, which knows no infinity: an infinite bound is None."""
        bounds = {"low": self.low, "high": self.high}
        finite = {name: bound if math.isfinite(bound) else None for name, bound in bounds.items()}
        return {"mean": self.mean, **finite, "n": self.n}


def paired_gain(
    base: Sequence[float], candidate: Sequence[float], confidence: float = 0.95
) -> PairedGain:
    """How much lower `candidate` is than `base` on the same items, in the unit of the items.

    The interval is Student's for the mean of the differences, mean ± t(n-1) · s / sqrt(n)
    (Student 1908, "The Probable Error of a Mean", Biometrika 6). Raises `ValueError` for no items,
    for sequences of different lengths and for values that are not finite.
    """
    if len(base) != len(candidate) or not base:
        raise ValueError(f"{len(base)} base and {len(candidate)} candidate items are not pairs")
    differences = [old - new for old, new in zip(base, candidate, strict=True)]
    if not all(map(math.isfinite, differences)):
        raise ValueError("an item is NaN or infinite, so there is no gain to speak of")
    n, mean = len(differences), statistics.fmean(differences)
    if n == 1:
        return PairedGain(mean, -math.inf, math.inf, n)
    error = statistics.stdev(differences) / math.sqrt(n)
    half = student_t(0.5 + confidence / 2, n - 1) * error
    return PairedGain(mean, mean - half, mean + half, n)


@lru_cache(4096)  # a training asks for the same few after each step
def student_t(probability: float, degrees: int) -> float:
    """The quantile of Student's t distribution with a whole number of degrees of freedom.

    Solves the exact distribution function by bisection. From 2,000 degrees on, the normal
    quantile with its first correction (Abramowitz & Stegun 26.7.5) is right to 7 digits.
    """
    if not 0 < probability < 1 or degrees < 1:
        raise ValueError(f"there is no t quantile of {probability} with {degrees} degrees")
    if probability < 0.5:
        return -student_t(1 - probability, degrees)
    normal = statistics.NormalDist().inv_cdf(probability)
    if degrees >= 2000:
        return normal + (normal**3 + normal) / (4 * degrees)
    low, high = 0.0, 1.0
    while _distribution(high, degrees) < probability:
        low, high = high, high * 2
    for _ in range(100):
        middle = (low + high) / 2
        if _distribution(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _distribution(t: float, degrees: int) -> float:
    """P(T <= t) for t >= 0, by the finite sums of Abramowitz & Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    if degrees == 1:
        return 0.5 + angle / math.pi
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + inside / 2
