"""A log line is one JSON object that a person and a program can read."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from academy import logs
from academy.errors import BadSetting, Unavailable


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_carries_the_sentence_and_its_fields(stream: io.StringIO) -> None:
    logs.setup("keeper", "INFO", stream)
    logging.getLogger("academy.x").info(
        "The job was claimed.", extra={"job_id": "t-1", "attempt": 2, "loss": float("nan")}
    )
    (line,) = lines(stream)
    assert line["message"] == "The job was claimed."
    assert (line["process"], line["level"], line["logger"]) == ("keeper", "INFO", "academy.x")
    assert (line["job_id"], line["attempt"], line["loss"]) == ("t-1", 2, "nan")
    assert line["timestamp"].endswith("+00:00")


def test_an_exception_is_told_by_its_cause_chain_and_stays_on_one_line(stream: io.StringIO) -> None:
    logs.setup("api", "INFO", stream)
    try:
        try:
            raise ConnectionRefusedError("refused")
        except OSError as error:
            raise Unavailable(what="PostgreSQL", why="nobody listens") from error
    except Unavailable:
        logging.getLogger("x").exception("Failed.")
    (line,) = lines(stream)
    assert line["exception"] == (
        "PostgreSQL cannot be reached: nobody listens. (because: ConnectionRefusedError: refused)"
    )
    assert "Traceback" in line["traceback"]


def test_the_level_is_obeyed_and_chatty_libraries_are_quiet(stream: io.StringIO) -> None:
    logs.setup("api", "info", stream)
    logging.getLogger("academy.x").debug("no")
    logging.getLogger("httpx").info("no")
    assert lines(stream) == []


def test_an_unknown_level_is_refused_by_name() -> None:
    with pytest.raises(BadSetting, match="ACADEMY_LOG_LEVEL is 'LOUD'"):
        logs.setup("api", "LOUD")
