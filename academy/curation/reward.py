"""How good a run was, from what is known of it. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Signals that are parts of a reward, with equal weights as the seeds of the learning loop have.
_PARTS = ("compiled", "tests_passed", "accepted")


def reward_of(reward: float | None, signals: Mapping[str, Any]) -> float | None:
    """The reward of a run in 0..1, or None where nobody has scored it.

    The reward that a client gave counts first, then its ``score``, then the mean of the signals
    ``compiled``, ``tests_passed`` and ``accepted`` that are there. A mean over what happens to be
    there is generous (a run without tests can have 1.0), so whoever trains on runs asks
    `tests_passed` as well.
    """
    for given in (reward, signals.get("score")):
        if given is not None:
            return float(given)
    known = [bool(signals[part]) for part in _PARTS if signals.get(part) is not None]
    return sum(known) / len(known) if known else None


def tests_passed(signals: Mapping[str, Any]) -> bool | None:
    """Whether tests were there and passed; None where there were none or nobody knows."""
    if signals.get("tests_present") is False or signals.get("tests_passed") is None:
        return None
    return bool(signals["tests_passed"])
