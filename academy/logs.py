"""The one logging setup of all processes: a sentence plus fields, one JSON object a line.

Use it as ``logger.info("The job was claimed.", extra={"job_id": job_id, "attempt": 2})``. The
fields become members of the object. Standard library only.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from datetime import UTC, datetime
from typing import IO, Any

from academy.errors import AcademyError, BadSetting

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

#: What every record has by itself; the rest was given as `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

#: Libraries whose INFO tells a user of Academy nothing.
_CHATTY = ("httpx", "httpcore", "urllib3", "alembic", "git", "filelock")


def setup(process: str, level: str = "INFO", stream: IO[str] | None = None) -> None:
    """Send this process's log to `stream` (standard error by default), replacing what was set up.

    `process` names the process in each line: ``api``, ``keeper``, ``worker-gpu``, …
    Raises `BadSetting` for an unknown level.
    """
    name = level.upper()
    if name not in LEVELS:
        raise BadSetting(name="ACADEMY_LOG_LEVEL", value=level, allowed=", ".join(LEVELS))
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(name)
    quiet = logging.DEBUG if name == "DEBUG" else logging.WARNING
    for each in _CHATTY:
        logging.getLogger(each).setLevel(quiet)
    logging.captureWarnings(True)


class JsonLines(logging.Formatter):
    """A record as one line: ``timestamp``, ``level``, ``process``, ``logger``, ``message``, fields.

    An exception adds ``exception`` (the cause chain in words) and ``traceback`` (text).
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname,
            "process": self.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = cause_chain(record.exc_info[1])
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(_plain(line), ensure_ascii=False, default=str)


def cause_chain(error: BaseException) -> str:
    """An error and what caused it, in one line: ``outer (because: inner)``."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        text = str(current).strip() or type(current).__name__
        if not isinstance(current, AcademyError) and type(current).__name__ not in text:
            text = f"{type(current).__name__}: {text}"
        if not parts or text not in parts[-1]:
            parts.append(text)
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)
    return " (because: ".join(parts) + ")" * (len(parts) - 1)


def _plain(value: Any) -> Any:
    """Without NaN and infinity, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
