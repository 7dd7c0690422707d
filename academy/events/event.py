"""An event of a job, and its place in the order of all events of that job."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from academy.errors import InvalidRequest
from academy.lifecycle import TERMINAL

#: How the line of an event begins, as `Event` writes it.
_HEAD = re.compile(rb'\{"id":"(\d{1,18})-(\d{1,18})","type":"([a-z_.]+)"')
_LONGEST_ID = 30


class EventId(NamedTuple):
    """``attempt-seq``: the attempt that wrote the event, and its number there, from 1."""

    attempt: int
    seq: int

    @classmethod
    def parse(cls, text: str) -> EventId:
        """Read ``"2-17"``; raises `InvalidRequest`."""
        attempt, separator, seq = text.partition("-")
        numbers = attempt.isascii() and attempt.isdecimal() and seq.isascii() and seq.isdecimal()
        if not (separator and numbers) or len(text) > _LONGEST_ID:
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


class Event:
    """What happened: a type (``log``, ``metrics``, ``status``, …), when, and its fields.

    An event that was read keeps its line, and is parsed only if somebody asks what it says: most
    are passed on as they came.
    """

    __slots__ = ("_body", "_line", "id", "type")

    def __init__(
        self, id: EventId, type: str, timestamp: str, fields: dict[str, Any] | None = None
    ) -> None:
        self.id = id
        self.type = type
        self._body: tuple[str, dict[str, Any]] | None = (timestamp, fields or {})
        self._line: bytes | None = None

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        """The event of one line."""
        line = line.encode() if isinstance(line, str) else line
        event = cls.__new__(cls)
        event._line, event._body = line, None
        head = _HEAD.match(line)
        if head is not None:
            event.id = EventId(int(head[1]), int(head[2]))
            event.type = head[3].decode()
        else:  # another writer's spelling
            body = json.loads(line)
            event.id, event.type = EventId.parse(body.pop("id")), body.pop("type")
            event._body = (body.pop("timestamp"), body)
        return event

    @property
    def line(self) -> bytes:
        """The event as one line of JSON in UTF-8, as stream, archive and watchers get it."""
        if self._line is None:
            text = json.dumps(self.as_dict(), separators=(",", ":"), ensure_ascii=False)
            # Half a surrogate pair, as in the name of a file that is no UTF-8, cannot be sent.
            self._line = text.encode("utf-8", "replace")
        return self._line

    def to_json(self) -> str:
        """The line as a text."""
        return self.line.decode()

    @property
    def timestamp(self) -> str:
        """When it happened, as ISO 8601."""
        return self._parsed()[0]

    @property
    def fields(self) -> dict[str, Any]:
        """What belongs to its type."""
        return self._parsed()[1]

    @property
    def is_last(self) -> bool:
        """Whether the job is over with this event."""
        return self.type == "status" and self.fields.get("status") in TERMINAL

    def as_dict(self) -> dict[str, Any]:
        """The event as clients see it."""
        moment, fields = self._parsed()
        return {"id": str(self.id), "type": self.type, "timestamp": moment, **fields}

    def _parsed(self) -> tuple[str, dict[str, Any]]:
        if self._body is None:
            assert self._line is not None
            body = json.loads(self._line)
            del body["id"], body["type"]
            self._body = (body.pop("timestamp"), body)
        return self._body

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.id, self.type))

    def __repr__(self) -> str:
        return f"Event({self.to_json()})"


def logged_bytes(fields: dict[str, Any]) -> int:
    """How long a line of the log is, as UTF-8 and without what JSON adds."""
    # A lone surrogate has no encoding, and a byte more or less is none here.
    return len(str(fields.get("message", "")).encode(errors="replace"))


def timestamp(moment: datetime | None = None) -> str:
    """A moment, or now, in UTC, as ISO 8601 with milliseconds."""
    moment = datetime.now(UTC) if moment is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
