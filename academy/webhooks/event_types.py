"""The types of events, and which of them a webhook asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from academy.lifecycle import JobKind, Status

#: What OpenAI calls the ends of a training; its clients know these names.
_FINE_TUNING = "fine_tuning."
_ENDS = {
    Status.FINISHED: "job.succeeded",
    Status.FAILED: "job.failed",
    Status.CANCELLED: "job.cancelled",
}

#: What a test of a webhook sends, whatever the webhook asks for.
TEST = "webhook.test"

#: The types of changes, as the triggers of migration 0012 write them.
CHANGES = (
    *(_ENDS.get(status, f"job.{status}") for status in Status),
    "adapter.created",
    "adapter.deleted",
    "alias.moved",
    "dataset.created",
    "dataset.deleted",
    "worker.joined",
    "worker.returned",
    "worker.draining",
    "worker.lost",
    "worker.stopped",
)
#: What may be asked for.
EVENT_TYPES = (*CHANGES, *(_FINE_TUNING + each for each in _ENDS.values()))

#: The form of what is asked for: a type, or a pattern that ends in ``*``.
PATTERN = r"^(\*|[a-z_]{1,40}(\.[a-z_]{1,40}){0,3}(\.\*)?)$"


def sent_as(type: str, data: Mapping[str, Any]) -> str:
    """What an event is called outside: the end of a training as OpenAI calls it, else the same."""
    is_end = type in _ENDS.values() and data.get("kind") == JobKind.TRAINING
    return _FINE_TUNING + type if is_end else type


def is_asked_for(patterns: Iterable[str], *types: str) -> bool:
    """Whether one of the patterns stands for one of the types."""
    return any(_fits(pattern, type) for pattern in patterns for type in types)


def unknown(patterns: Iterable[str]) -> list[str]:
    """The patterns that stand for no type that there is."""
    return [each for each in patterns if not is_asked_for([each], *EVENT_TYPES)]


def _fits(pattern: str, type: str) -> bool:
    if pattern.endswith("*"):
        return type.startswith(pattern[:-1])
    return pattern == type
