"""Words by which texts are compared: the quick way for ASCII says what the slow one says."""

from __future__ import annotations

import random
import re

import pytest

from academy.curation.words import words_of


def slowly(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\r\n\x0b\x0c\x1c\x1f", []),
        ("def Parse_2(x):\n\treturn x+1", ["def", "parse_2", "x", "return", "x", "1"]),
        ("a\0b\x1cc\x7fd", ["a", "b", "c", "d"]),
        ("Straße, İstanbul", ["strasse", "i", "stanbul"]),
        ("日本語 text", ["日本語", "text"]),
    ],
)
def test_words_are_runs_of_letters_digits_and_underscores(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_ascii_is_read_as_everything_else() -> None:
    chance = random.Random(7)
    for _ in range(300):
        text = "".join(chr(chance.randrange(128)) for _ in range(chance.randrange(60)))
        assert words_of(text) == slowly(text)
