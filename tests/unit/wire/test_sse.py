"""Server-sent events as text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import academy
from academy.wire import sse


def test_an_event_has_its_id_and_its_data() -> None:
    assert sse.event('{"a": 1}', id="1-7") == 'id: 1-7\ndata: {"a": 1}\n\n'
    assert sse.event("[DONE]") == sse.DONE


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_data_of_several_lines_is_one_event(end: str) -> None:
    assert sse.event(f"one{end}two") == "data: one\ndata: two\n\n"


def test_json_is_one_line_and_keeps_its_letters() -> None:
    text = "zażółć \n\u2028 gęślą"
    written = sse.json_event({"text": text})
    assert written.count("\n") == 2 and "zażółć" in written
    assert json.loads(written.removeprefix("data: "))["text"] == text


def test_comments_are_no_events() -> None:
    for each in (sse.PING, sse.comment("the server is stopping")):
        assert each.startswith(": ") and each.endswith("\n\n") and "data" not in each


def test_nothing_else_in_the_package_writes_events() -> None:
    package = Path(academy.__file__).parent
    event = re.compile(r"data: [{\[]")
    writers = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if event.search(path.read_text(encoding="utf-8"))
    ]
    # What reads them tells of OpenAI's last one in a docstring.
    assert sorted(writers) == ["wire/sse.py", "wire/sse_reading.py"]
