"""What is typed as NAME=VALUE arrives as it was meant or is refused by name; none is dropped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from academy.cli.data import BadLine
from academy.cli.output import request_body
from academy.cli.sweeps import BadKnob
from academy.cli.values import BadPair, BadValue, GivenTwice, read_value
from academy.errors import AcademyError
from academy.wire.sending import Unsendable
from tests.commands import invoke
from tests.warm.python import WarmPython


def error_of(*words: str) -> BaseException | None:
    return invoke(*words).exception


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACADEMY_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ACADEMY_API_KEY", "k")


def test_fields_of_a_request_are_json_where_they_are_json() -> None:
    body = request_body(["max_steps=5", "role=coder", "x=[1, 2]", "y=true"], seed=1, none=None)
    assert body == {"seed": 1, "max_steps": 5, "role": "coder", "x": [1, 2], "y": True}
    with pytest.raises(BadPair, match="'max_steps' is not of the form"):
        request_body(["max_steps"])


@pytest.mark.parametrize(
    "text",
    ["", "a=b", "{", "NaNs", "1e400 of them", "Infinity War", "1e", "'x'", "häuser", '{"a":1,'],
)
def test_what_is_no_json_is_text(text: str) -> None:
    assert read_value("name", text) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NaN", "JSON has no NaN"),
        ("Infinity", "JSON has no Infinity"),
        ("[-Infinity]", "JSON has no -Infinity"),
        ("1e400", "the number is too large"),
        ("9" * 5000, "the number has too many digits"),
        ('{"a":1,"a":2}', "the name 'a' is there twice in one object"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_what_the_api_would_not_read_is_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(BadValue) as caught:
        request_body([f"min_quality={text}"])
    assert str(caught.value).startswith("min_quality is '")
    assert str(caught.value).endswith(f", which is no value: {why}.")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("pair", ["base_model=\udcff", "\udcff=1", 'base_model="\\ud800"'])
def test_what_is_no_utf_8_is_refused_by_name(pair: str) -> None:
    with pytest.raises(Unsendable, match=r"base_model|udcff"):
        request_body([pair])


def test_a_name_is_given_once() -> None:
    with pytest.raises(GivenTwice, match="lessons_limit is given more than once"):
        request_body(["lessons_limit=1", "lessons_limit=2"])
    with pytest.raises(GivenTwice, match="seed"):
        request_body(["seed=1"], seed=1)


@pytest.mark.parametrize(
    "command",
    [
        ["submit", "curation"],
        ["train"],
        ["preflight"],
        ["dataset"],
        ["dataset", "upload", __file__],
        ["sweep", "start", "lora_rank=8"],
        ["schedules", "add", "x", "curation"],
    ],
)
def test_every_command_with_set_reads_it_alike(command: list[str]) -> None:
    assert isinstance(error_of(*command, "--set", "seed=NaN"), BadValue)
    assert isinstance(error_of(*command, "--set", "a=1", "--set", "a=2"), GivenTwice)
    assert isinstance(error_of(*command, "--set", "a=\udcff"), Unsendable)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["train", "--learning-rate", "nan"], "learning_rate"),
        (["train", "--base-model", "\udcff"], "base_model"),
        (["shares", "role:x", "--weight", "inf"], "weight"),
        (["jobs", "--kind", "\udcff"], "kind"),
        (["logs", "x", "-q", "\udcff"], "q"),
        (["lessons", "add", "--situation", "\udcff", "--solution", "x"], "situation"),
        (["lessons", "add", "--situation", "x", "--solution", "x", "--tag", "\udcff"], "tags, 0"),
        (["dataset", "--repository", "\udcff"], "repositories, 0"),
        (["dataset", "diff", "\udcff", "b"], "a"),
        (["dataset", "download", "x", "--file", "\udcff"], "file"),
        (["chat", "\udcff"], "messages, 0, content"),
        (["keys", "create", "\udcff"], "name"),
        (["activate", "\udcff"], "adapter_id"),
        (["schedules", "add", "x", "curation", "--every", "\udcff"], "every"),
    ],
)
def test_an_argument_that_cannot_be_sent_is_refused_by_its_field(
    words: list[str], named: str
) -> None:
    error = error_of(*words)
    assert isinstance(error, Unsendable)
    assert str(error).startswith(f"{named} cannot be sent: ")


@pytest.mark.parametrize(
    ("knobs", "kind"),
    [
        (["lora_rank=8", "lora_rank=16"], GivenTwice),
        (["learning_rate=NaN,1"], BadValue),
        (["learning_rate=1e-5..1e400"], BadValue),
        (["learning_rate=1e-5..x"], BadKnob),
        (["learning_rate=.."], BadKnob),
        (["base_model=\udcff"], Unsendable),
    ],
)
def test_a_knob_is_read_as_strictly(knobs: list[str], kind: type[AcademyError]) -> None:
    assert isinstance(error_of("sweep", "start", *knobs), kind)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"situation": "\xff"}', "byte 15 is not UTF-8"),
        (b'{"situation": NaN}', "JSON has no NaN"),
        (b'{"a": 1, "a": 2}', "the name 'a' is there twice in one object"),
        (b"{", "Expecting property name"),
    ],
)
def test_a_bad_line_of_a_file_of_lessons_is_told_before_anything_is_sent(
    tmp_path: Path, line: bytes, why: str
) -> None:
    file = tmp_path / "lessons.jsonl"
    file.write_bytes(b'{"situation": "a\xe2\x80\xa8b", "solution": "c"}\n\n' + line + b"\n")
    error = error_of("lessons", "import", str(file))
    assert isinstance(error, BadLine)
    assert str(error).startswith(f"Line 3 of {file} is not JSON: {why}")


@pytest.mark.parametrize(
    "words",
    [
        [b"submit", b"curation", b"--set", b"min_quality=NaN"],
        [b"submit", b"curation", b"--set", b"base_model=\xff"],
        [b"submit", b"curation", b"--set", b"a=1", b"--set", b"a=2"],
        [b"cancel", b"\xff"],
        [b"train", b"--base-model", b"\xff"],
    ],
)
def test_at_the_terminal_each_is_one_error_with_a_way_out(
    words: list[bytes], warm_commands: WarmPython
) -> None:
    done = warm_commands.run("academy.cli", *map(os.fsdecode, words), env=os.environ)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("academy: ") and len(done.stderr.splitlines()) == 2
    assert "Error" not in done.stderr and "--debug" not in done.stderr
