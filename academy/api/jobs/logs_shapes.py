"""Pages of a log, and what its live stream is asked for."""

from __future__ import annotations

from pydantic import Field

from academy.web.shapes import Sent, Shown

#: Of an event's id; the views themselves refuse what does not fit, with an example.
EVENT_ID = r"^[0-9]{1,14}-[0-9]{1,14}$"
_After = Field(
    None,
    max_length=30,
    description="the id of the last event seen",
    # An empty one means the beginning, as if it were left out.
    json_schema_extra={
        "anyOf": [{"type": "string", "pattern": f"^$|{EVENT_ID}"}, {"type": "null"}]
    },
)


class LogsQuery(Sent):
    """Which log lines."""

    after: str | None = _After
    limit: int = Field(50, ge=1, le=500, description="how many lines at most")
    q: str | None = Field(None, min_length=1, max_length=200, description="text that lines contain")
    download: bool = Field(False, description="the whole log as a text file")


class LogLine(Shown):
    """A line of the log."""

    id: str
    line: int
    level: str
    message: str
    timestamp: str


class LogsPage(Shown):
    """A part of a job's log, oldest first."""

    job_id: str
    count: int
    lines: list[LogLine]
    has_more: bool
    next: str | None = Field(description="the 'after' of the next page")


class StreamQuery(Sent):
    """Where a live stream begins, and a pass for clients that cannot send headers."""

    after: str | None = _After
    ticket: str | None = Field(None, max_length=100, description="a one-time pass")
