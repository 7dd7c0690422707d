"""A trainer of another make is followed by its lines, however they are torn."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from academy.training.launchers.output import Lines, TrainerOutput, lines_of


class Written:
    """An `EventWriter` that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def emit(self, type: str, **fields: Any) -> None:
        self.events.append((type, fields))


def _output() -> tuple[TrainerOutput, Written]:
    written = Written()
    return TrainerOutput(written, Path), written  # type: ignore[arg-type]


def _lines(data: bytes) -> list[bytes]:
    return list(lines_of(io.BufferedReader(io.BytesIO(data))))  # type: ignore[arg-type]


def test_figures_in_the_lines_of_another_trainer_become_metrics() -> None:
    output, written = _output()
    output.add_noise(b" 50%|#####     | 5/10 [00:05<00:05, 1.00s/it]")
    output.add_message(b"{'loss': 0.5, 'learning_rate': 0.0001, 'epoch': 1.0}")
    assert [kind for kind, _ in written.events] == ["log", "metrics", "log", "metrics"]
    assert output.next_message(1) == {"type": "metrics", **written.events[1][1]}
    assert written.events[3][1]["loss"] == 0.5
    assert (written.events[3][1]["step"], written.events[3][1]["progress"]) == (5, 0.5)


def test_a_trainer_that_tells_its_figures_is_not_second_guessed() -> None:
    output, written = _output()
    output.add_message(b'{"type": "stage", "stage": "preparing", "message": "reading"}')
    output.add_noise(b" 50%|#####     | 1/2 [00:05<00:05, 1.00s/it]")
    output.add_message(b"loss: 3.0")
    assert [kind for kind, _ in written.events] == ["stage", "log", "log"]


def test_a_progress_bar_is_its_first_and_its_last_state_and_one_a_second() -> None:
    assert _lines(b" 1%|\r 2%|\r 3%|\ndone") == [b" 1%|", b" 3%|", b"done"]
    assert _lines(b"\r 1%|\r 2%|\r 3%|\r\n\ndone") == [b" 1%|", b" 3%|", b"", b"done"]
    assert _lines(b" 1%|\r 2%|\r 3%|") == [b" 1%|", b" 3%|"]
    now = 0.0
    lines = Lines(lambda: now)
    shown = []
    for percent in range(100):
        shown += lines.add(b"\r%3d%%|" % percent)
        now += 0.25
    shown += [*lines.add(b"\r100%|\n"), *lines.rest()]
    assert len(shown) == 26
    assert (shown[0], shown[-1]) == (b"  0%|", b"100%|")
    assert shown == sorted(shown)


@given(st.lists(st.sampled_from([b"a", b"b ", b"\r", b"\n", b"\r\n"]), max_size=30))
def test_what_a_line_ends_with_is_never_lost(parts: list[bytes]) -> None:
    data = b"".join(parts)
    wanted = []
    for line in data.replace(b"\r\n", b"\n").split(b"\n"):
        states = [each for each in line.split(b"\r") if each.strip()]
        wanted += states[-1:]
    found = [each for each in _lines(data) if each.strip()]
    position = 0
    for each in wanted:
        position = found.index(each, position) + 1


def test_a_line_that_never_ends_comes_in_pieces() -> None:
    data = b"x" * (150 << 20)
    pieces = _lines(data)
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) < 65 << 20


@given(st.lists(st.text(alphabet="abé ", min_size=1, max_size=9), max_size=9), st.data())
def test_every_line_comes_once_and_in_order_however_it_is_torn(
    lines: list[str], data: st.DataObject
) -> None:
    text = data.draw(st.sampled_from(["\n", "\r\n"])).join(lines).encode()
    at = data.draw(st.integers(0, len(text)))
    joined = Lines()
    found = [*joined.add(text[:at]), *joined.add(text[at:]), *joined.rest()]
    assert [line.decode() for line in found] == lines


@pytest.mark.timeout(30)
def test_a_line_is_given_before_the_next_one_is_written() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", buffering=0) as writer:
        lines = lines_of(reader)
        writer.write(b"first\nsec")
        assert next(lines) == b"first"
        writer.write(b"ond\r")
        assert next(lines) == b"second"
