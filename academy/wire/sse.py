"""Server-sent events, written (WHATWG HTML, section 9.2).

Everything that Academy sends as ``text/event-stream`` is made here: a job's events, streamed chats
of the gateway and of the model server, and what goes wrong in the middle of either. It lies below
`academy.web` and `academy.runtime`, because both write such streams and neither imports the other;
so it makes texts and headers, and each puts them into a response of its own.
"""

from __future__ import annotations

import json
import re
from typing import Any

MEDIA_TYPE = "text/event-stream"

#: The headers of an answer that is such a stream.
HEADERS = {
    "Content-Type": f"{MEDIA_TYPE}; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}

#: The comment that keeps a connection open; no reader is told of it.
PING = ": ping\n\n"

#: The end of a stream of OpenAI's.
DONE = "data: [DONE]\n\n"

_LINE_END = re.compile(r"\r\n|\n|\r")


def event(data: str, *, id: str | None = None) -> str:
    """One event, with the id that a reader comes back with as ``Last-Event-ID``.

    It has no ``event:`` line: a browser hands unnamed events to ``onmessage``, and would take one
    named ``error`` for a broken connection. What kind it is stands in the data.
    """
    if "\n" in data or "\r" in data:  # several lines are as many fields; JSON is always one
        data = _LINE_END.sub("\ndata: ", data)
    return f"data: {data}\n\n" if id is None else f"id: {id}\ndata: {data}\n\n"


def line_event(id: str, line: bytes) -> bytes:
    """One event with its id, whose data is one line of JSON, as bytes."""
    return b"id: %b\ndata: %b\n\n" % (id.encode(), line)


def json_event(body: dict[str, Any]) -> str:
    """One event whose data is a JSON object."""
    return event(json.dumps(body, ensure_ascii=False))


def comment(text: str) -> str:
    """A line that readers skip, and that people see who look at the stream."""
    return f": {text}\n\n"
