"""What a live stream is asked for."""

from __future__ import annotations

from pydantic import Field

from academy.web.shapes import Sent

#: Of an event's id; the views themselves refuse what does not fit, with an example.
EVENT_ID = r"^[0-9]{1,14}-[0-9]{1,14}$"
#: The cursor of a query.
AFTER = Field(
    None,
    max_length=30,
    description="the id of the last event seen",
    # An empty one means the beginning, as if it were left out.
    json_schema_extra={
        "anyOf": [{"type": "string", "pattern": f"^$|{EVENT_ID}"}, {"type": "null"}]
    },
)


class StreamQuery(Sent):
    """Where a live stream begins, and a pass for clients that cannot send headers."""

    after: str | None = AFTER
    ticket: str | None = Field(None, max_length=100, description="a one-time pass")
