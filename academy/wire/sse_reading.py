"""Server-sent events, read (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """One event of a job: ``connected``, ``log``, ``metrics``, ``status``, ``error``, …"""

    id: str  # attempt-seq; empty for events that are not part of the record
    type: str
    data: dict[str, Any]


def read_events(lines: Iterator[str], *, pings: bool = False) -> Iterator[Event]:
    """Server-sent events whose data is a JSON object.

    ``data: [DONE]``, which OpenAI's streams end with, ends this one. Comments are skipped, or with
    `pings` they are events of the type ``ping``, so that a reader can give up in between.
    """
    name, identity, data = "", "", []
    for line in lines:
        if line.startswith(":"):
            if pings:
                yield Event("", "ping", {})
            continue
        if line:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "id":
                identity = value
            elif field == "data":
                data.append(value)
            continue
        if data == ["[DONE]"]:
            return
        if data:
            found = json.loads("\n".join(data))
            yield Event(identity, name or str(found.get("type", "message")), found)
        name, identity, data = "", "", []
