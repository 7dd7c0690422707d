"""What a check of `academy doctor` is, and what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from academy.settings import Settings


class State(StrEnum):
    OK = "ok"  # usable as it is
    MISSING = "missing"  # not there
    BROKEN = "broken"  # there, but it does not do its work


@dataclass(frozen=True)
class Finding:
    """One line of the report. `necessary`: Academy cannot work without it; else it is optional."""

    name: str
    state: State
    detail: str
    todo: str = ""
    necessary: bool = False


@dataclass(frozen=True)
class Check:
    """One look at the machine. `necessary` says what it is where the look itself fails or hangs."""

    name: str
    look: Callable[[Settings], tuple[Finding, ...]]
    necessary: Callable[[Settings], bool]
