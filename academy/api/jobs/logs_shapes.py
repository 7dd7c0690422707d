"""Pages of a log."""

from __future__ import annotations

from pydantic import Field

from academy.web.live.stream_query import AFTER
from academy.web.shapes import Sent, Shown


class LogsQuery(Sent):
    """Which log lines."""

    after: str | None = AFTER
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
    next: str | None = Field(
        description="the 'after' of the next page, which a search may have behind one without lines"
    )
