"""An event of a job, and its place in the order of all events of that job."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from academy.errors import InvalidRequest
from academy.lifecycle import TERMINAL

#: A log line longer than this many characters is cut.
LONGEST_LINE = 8192


@dataclass(frozen=True, order=True)
class EventId:
    """``attempt-seq``: the attempt that wrote the event, and its number there, from 1."""

    attempt: int
    seq: int

    @classmethod
    def parse(cls, text: str) -> EventId:
        """Read ``"2-17"``; raises `InvalidRequest`."""
        attempt, separator, seq = text.partition("-")
        if not (separator and attempt.isdecimal() and seq.isdecimal()) or len(text) > 30:
            raise InvalidRequest(
                detail=f"after={text!r} is no event id; use one that was sent, such as '1-17'."
            )
        return cls(int(attempt), int(seq))

    def __str__(self) -> str:
        return f"{self.attempt}-{self.seq}"

    def is_followed_by(self, other: EventId) -> bool:
        """Whether no event can lie between the two (as far as the numbers tell)."""
        return other.attempt == self.attempt and other.seq == self.seq + 1


#: Before the first event of any job.
START = EventId(0, 0)


@dataclass(frozen=True)
class Event:
    """What happened: a type (``log``, ``metrics``, ``status``, …), when, and its fields."""

    id: EventId
    type: str
    timestamp: str
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_last(self) -> bool:
        """Whether the job is over with this event."""
        return self.type == "status" and self.fields.get("status") in TERMINAL

    def as_dict(self) -> dict[str, Any]:
        """The event as clients see it."""
        return {"id": str(self.id), "type": self.type, "timestamp": self.timestamp, **self.fields}

    def to_json(self) -> str:
        """One line of the stream and of the archive."""
        return self._line

    @cached_property
    def _line(self) -> str:
        line = json.dumps(self.as_dict(), separators=(",", ":"), ensure_ascii=False)
        # Half a surrogate pair, as in the name of a file that is no UTF-8, has no bytes to be sent.
        return line if line.isascii() else line.encode("utf-8", "replace").decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Event:
        """The event of one line."""
        body = json.loads(text)
        return cls(
            id=EventId.parse(body.pop("id")),
            type=body.pop("type"),
            timestamp=body.pop("timestamp"),
            fields=body,
        )


def timestamp() -> str:
    """Now, in UTC, as ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
