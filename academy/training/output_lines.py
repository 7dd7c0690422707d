"""The lines of a process's output, as they come."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO

#: A line longer than this is given in pieces: a process that never ends a line must not fill the
#: memory of its watcher. A trainer's ``result`` has figures for each held-out row and is long.
LONGEST = 64 << 20
_ENDS = re.compile(rb"\r\n|\n|\r")


def lines_of(stream: IO[bytes], longest: int = LONGEST) -> Iterator[str]:
    """Each line once it is whole, without its end; bytes that are no UTF-8 are replaced.

    A progress bar ends its lines with a carriage return only, and would otherwise be one line that
    is whole when the process ends.
    """
    assert isinstance(stream, io.BufferedReader)
    waiting: list[bytes] = []
    size = 0
    while data := stream.read1(1 << 16):
        *whole, rest = _ENDS.split(data)
        for line in whole:
            yield b"".join([*waiting, line]).decode("utf-8", "replace")
            waiting, size = [], 0
        waiting.append(rest)
        size += len(rest)
        if size >= longest:
            yield b"".join(waiting).decode("utf-8", "replace")
            waiting, size = [], 0
    if size:
        yield b"".join(waiting).decode("utf-8", "replace")
