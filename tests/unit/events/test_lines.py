"""What anybody prints is harmless, bounded, and free of secrets when it is an event."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from academy.events.event import Event
from academy.events.lines import LONGEST_BYTES, clean, cleaned
from academy.events.writer import EventWriter

TOKEN = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"
RED, PLAIN = "\x1b[31m", "\x1b[0m"


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        ("a plain line", "a plain line"),
        ("zażółć gęślą jaźń 漢字 🙂", "zażółć gęślą jaźń 漢字 🙂"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        (f"{RED}red{PLAIN}", f"{RED}red{PLAIN}"),
        ("\x1b[38;5;196mred", "\x1b[38;5;196mred"),
        ("\x1b[38:2::1:2:3mred", "\x1b[38:2::1:2:3mred"),
        ("gone\x1b[2K\x1b[1Aup", "goneup"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor"),
        ("\x1bcreset", "reset"),
        ("\x1b(B\x1b[mtext", "\x1b[mtext"),
        ("bell\x07 nul\x00 back\x08space", "bell␇ nul␀ back␈space"),
        ("del\x7f", "del␡"),
        ("\x9b31m of C1", "\\u009b31m of C1"),
        ("turned \u202eround", "turned \\u202eround"),
        ("ends\u2028elsewhere", "ends\\u2028elsewhere"),
        ("\ufeffmark", "\\ufeffmark"),
        (" 10%|#|\r 50%|##|\r100%|###|", "100%|###|"),
        ("done\r\n", "done\n"),
        ("half\rof\r", "of"),
        ("\r\r\r", ""),
        ("unfinished \x1b[", "unfinished "),
    ],
)
def test_a_line_is_kept_as(printed: str, kept: str) -> None:
    assert clean(printed) == kept


@pytest.mark.parametrize(
    "printed",
    [
        f"token {TOKEN}",
        f"{TOKEN[:12]}{RED}{TOKEN[12:]}",
        f"x\rtoken={TOKEN}",
        "export OPENAI_API_KEY=sk-proj-" + "Ab3dEf6hIj9kLm2nOp5q" * 3,
        "postgresql://academy:Tr0ub4dor&3xyz@db.example/academy",
        "key aca_" + "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3dEf6hIj9",
    ],
)
def test_a_secret_is_replaced_however_it_is_coloured(printed: str) -> None:
    found = clean(printed)
    assert "<SECRET:" in found
    assert TOKEN not in found and "Tr0ub4dor" not in found


def test_half_of_a_secret_does_not_stay_where_a_line_is_cut() -> None:
    for before in range(LONGEST_BYTES - 60, LONGEST_BYTES + 10, 7):
        found = clean("x" * before + " " + TOKEN)
        assert "ghp_a1" not in found
        assert len(found.encode()) <= LONGEST_BYTES


@pytest.mark.parametrize("letter", ["x", "é", "漢", "🙂", f"{RED}y"])
def test_a_long_line_is_cut_between_characters_and_says_so(letter: str) -> None:
    found = clean(letter * 40_000)
    assert len(found.encode()) <= LONGEST_BYTES
    assert found.endswith(" … (cut)")
    assert "\ufffd" not in found


HOSTILE = st.text(
    alphabet=st.one_of(
        st.sampled_from("\x1b[];?0123456789mKJHa\r\n\t\x07\x9b\\ "), st.characters()
    ),
    max_size=300,
)


@given(printed=HOSTILE)
def test_nothing_that_moves_a_terminal_is_left_and_cleaning_again_changes_nothing(
    printed: str,
) -> None:
    found = clean(printed)
    assert clean(found) == found
    rest = found
    while "\x1b" in rest:
        _, _, rest = rest.partition("\x1b")
        assert rest.startswith("[") and rest[1:].lstrip("0123456789;:").startswith("m")
    controls = [each for each in found if unicodedata.category(each) == "Cc"]
    assert set(controls) <= {"\n", "\t", "\x1b"}
    assert not set(found) & set("\u202a\u202e\u2066\u2028\u2029")


def test_every_text_of_an_event_is_cleaned_wherever_it_lies() -> None:
    deep: Any = "end"
    for _ in range(100):
        deep = {"in": [deep]}
    found = cleaned({"a": ["x\x07", {"b\x00": TOKEN}], "n": 1.5, "none": None, "deep": deep})
    assert (found["a"][0], found["n"], found["none"]) == ("x␇", 1.5, None)
    assert found["a"][1] == {"b␀": "<SECRET:github_token>"}
    assert str(found["deep"]).count("in") <= 20


def writer(most_logged: int) -> EventWriter:
    return EventWriter("job", 1, lambda at_once: None, most_logged)


def test_a_log_that_is_full_says_so_and_the_rest_goes_on() -> None:
    events = writer(1000)
    for number in range(50):
        events.emit("log", message=f"{number:04} " + "x" * 95)
    events.emit("metrics", step=1, loss=0.5)
    events.emit("status", status="finished")
    kept: list[Event] = events.unarchived()
    assert [each.id.seq for each in kept] == list(range(1, len(kept) + 1))
    types = [each.type for each in kept]
    assert types == ["log"] * 11 + ["metrics", "log", "status"]
    assert kept[10].fields["message"] == (
        "The log has reached 1000 bytes (ACADEMY_LOG_BYTES); further lines are left out."
    )
    assert kept[12].fields["message"] == "40 lines were left out of the log."
    assert kept[12].fields["line"] == 13
    assert kept[-1].is_last and events.is_closable is False


def test_a_log_that_is_not_full_says_nothing_of_it() -> None:
    events = writer(10_000)
    events.emit("log", message=f"with {TOKEN}\x1b[2J")
    events.emit("status", status="finished")
    first, last = events.unarchived()
    assert first.fields["message"] == "with <SECRET:github_token>"
    assert last.is_last
