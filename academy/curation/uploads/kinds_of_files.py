"""What a file is that is no JSON lines, so that its sender is told so in one word."""

from __future__ import annotations

import json
import re

_UTF_16_AND_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_COLUMN = re.compile(r"[\"']?[\w .\-]{1,60}[\"']?")


def what_it_is(start: bytes) -> tuple[str, str] | None:
    """A code and a reason for a file that begins like this and cannot be JSON lines; else None.

    It only looks at what cannot begin a line of a format that is read: one array, one object over
    many lines, a table's header, other encodings.
    """
    if start.startswith(_UTF_16_AND_32) or start[1:4:2] == b"\0\0" or start[:3:2] == b"\0\0":
        return "invalid_encoding", "the file is in UTF-16 or UTF-32; save it in UTF-8"
    text = start.decode("utf-8-sig", "replace").lstrip()
    first, _, rest = text.partition("\n")
    first = first.strip()
    if first.startswith("["):
        return (
            "json_array",
            "the file is one JSON array, and JSON lines have one object on each line; convert it "
            "with: jq -c '.[]' FILE",
        )
    if first == "{" or (first.startswith("{") and rest and _goes_on(first, rest)):
        return (
            "json_over_many_lines",
            "an object goes over several lines, and JSON lines have each object on one; convert "
            "the file with: jq -c . FILE",
        )
    for separator, name in ((",", "commas"), ("\t", "tabs"), (";", "semicolons")):
        columns = first.split(separator)
        is_header = len(columns) > 1 and all(_COLUMN.fullmatch(each.strip()) for each in columns)
        if is_header and rest.partition("\n")[0].count(separator) >= len(columns) - 1:
            shown = ", ".join(each.strip()[:30] for each in columns[:8])
            return (
                "csv",
                f"the file is a table (CSV) with {name} between the columns {shown}; write each "
                "row as one JSON object on a line of its own, or send Parquet",
            )
    return None


def _goes_on(first: str, rest: str) -> bool:
    """Whether an object that a line begins is not over at its end, and the next line goes on."""
    if rest.lstrip().startswith("{"):
        return False
    try:
        json.loads(first)
    except json.JSONDecodeError as error:
        return error.pos >= len(first)
    except (ValueError, RecursionError):
        return False
    return False
