"""What each event says, and that nothing in it moves the cursor or colours the terminal."""

from __future__ import annotations

from typing import Any

import pytest

from academy.cli.watch.sentences import line, sentence, summary
from academy.wire.sse_reading import Event


def said(kind: str, **data: Any) -> str:
    return sentence(Event("1-1", kind, data))


def test_missing_metrics_are_left_out() -> None:
    assert summary({"step": 1}) == "step 1/?"
    assert summary({}) == ""


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("0%\r50%\r100%", "100%"),
        ("0%\r100%\r\nand\rso on\r\n", "100%\nso on"),
        ("\x1b[31mred\x1b[0m and \x1b[2Kclear", "red and clear"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("two\nlines", "two\nlines"),
        ("half \udcff", r"half \udcff"),
        ("turned \u202eround", r"turned \u202eround"),
        ("Zażółć 👩‍🚀 日本", "Zażółć 👩‍🚀 日本"),
        ("", ""),
    ],
)
def test_a_message_is_what_was_left_of_it_in_plain_text(message: str, shown: str) -> None:
    assert said("log", message=message) == shown


def test_an_event_that_says_nothing_has_no_line() -> None:
    assert line(Event("", "connected", {"timestamp": "2026-12-01T00:00:00Z"})) == ""


def test_a_curation_says_how_far_it_is() -> None:
    figures = {"stage": "reading", "rows_read": 40, "rows_kept": 35, "done": 40, "total": 200}
    assert said("progress", **figures) == "reading · 40/200 · 35 of 40 rows kept"


def test_an_evaluation_without_a_finite_loss_says_so() -> None:
    assert "not finite" in said("evaluation", name="base", step=0, rows=4, loss=None)
