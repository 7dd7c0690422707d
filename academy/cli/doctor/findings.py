"""What a check of `academy doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"  # usable as it is
    MISSING = "missing"  # not there
    BROKEN = "broken"  # there, but it does not do its work


@dataclass(frozen=True)
class Finding:
    """One line of the report. `necessary`: Academy cannot work without it."""

    name: str
    state: State
    detail: str
    todo: str = ""
    necessary: bool = False
