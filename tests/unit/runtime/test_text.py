"""Tokens become whole characters, and nothing passes a stop string."""

from __future__ import annotations

import random

import pytest

from academy.runtime.text import TextStream


class Bytes:
    """A tokenizer whose tokens are bytes, decoded as byte-level tokenizers do."""

    def decode(self, token_ids: list[int], **options: bool) -> str:
        return bytes(token_ids).decode("utf-8", errors="replace")


def stream(data: bytes, stop: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    text = TextStream(Bytes(), stop)
    pieces = [text.push(each) for each in data]
    return [*pieces, text.finish()], text


@pytest.mark.parametrize("words", ["żółw", "naïve 😀 smile", "日本語のテキスト", "a" * 300 + "é"])
def test_every_piece_is_whole_characters_and_the_pieces_are_the_text(words: str) -> None:
    pieces, _ = stream(words.encode())
    assert "".join(pieces) == words
    assert "\ufffd" not in "".join(pieces)


def test_text_appears_as_soon_as_its_last_byte_is_there() -> None:
    pieces, _ = stream("né".encode())
    assert pieces == ["n", "", "é", ""]


def test_a_character_that_never_becomes_whole_is_left_out() -> None:
    pieces, _ = stream("fine 😀".encode()[:-1])
    assert "".join(pieces) == "fine "


def test_noise_gives_the_decoder_s_text_except_an_unfinished_end() -> None:
    noise = random.Random(3)
    for _ in range(200):
        data = bytes(noise.choice([65, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xFF]) for _ in range(150))
        pieces, _ = stream(data)
        whole = data.decode("utf-8", errors="replace")
        sent = "".join(pieces)
        assert whole.startswith(sent)
        assert whole[len(sent) :].strip("\ufffd") == ""
        assert len(whole) - len(sent) <= 3


def test_the_text_ends_before_a_stop_string_that_comes_in_parts() -> None:
    pieces, text = stream(b"one END two", stop=("END",))
    assert "".join(pieces) == "one "
    assert text.stopped


def test_what_only_looked_like_a_stop_string_is_given_in_the_end() -> None:
    pieces, text = stream(b"the EN", stop=("END",))
    assert pieces[-1] == "EN"
    assert "".join(pieces) == "the EN"
    assert not text.stopped


def test_the_earliest_of_several_stop_strings_counts() -> None:
    pieces, _ = stream(b"a\n\nb###c", stop=("###", "\n\n"))
    assert "".join(pieces) == "a"


def test_nothing_comes_after_a_stop_string() -> None:
    text = TextStream(Bytes(), ("x",))
    assert text.push(ord("x")) == ""
    assert text.push(ord("y")) == ""
    assert text.finish() == ""
