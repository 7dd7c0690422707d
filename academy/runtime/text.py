"""Tokens into text, piece by piece: whole characters only, and never past a stop string."""

from __future__ import annotations

from typing import Protocol

_BROKEN = "\ufffd"
#: A UTF-8 character has at most four bytes, so at most three of them can be waiting for the rest.
_LONGEST_START = 3
#: The decoder sees this many tokens at most; what comes before cannot change what comes after.
_WINDOW_TOKENS = 64
_CONTEXT_TOKENS = 8


class Decodes(Protocol):
    """The part of a transformers tokenizer that is needed here."""

    def decode(self, token_ids: list[int], **options: bool) -> str: ...


class TextStream:
    """The text of one answer while its tokens arrive.

    Everything `push` and `finish` return, joined, is ``tokenizer.decode`` of all tokens without the
    special ones, cut before the first stop string and without a character whose bytes never came.
    """

    def __init__(self, tokenizer: Decodes, stop: tuple[str, ...] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._tokens: list[int] = []
        self._sent = 0  # characters of the window's text that were passed on
        self._held = ""  # text that may be the beginning of a stop string
        self.stopped = False  # a stop string was found; nothing more will come

    def push(self, token: int) -> str:
        """Take one more token; the text that is certain by now, often empty."""
        if self.stopped:
            return ""
        self._tokens.append(token)
        text = self._decode()
        whole = len(text) - _broken_tail(text)
        fresh = text[self._sent : whole]
        self._sent = max(self._sent, whole)
        if len(self._tokens) > _WINDOW_TOKENS:
            self._slide(waiting=len(text) - self._sent)
        return self._until_stop(fresh)

    def finish(self) -> str:
        """The text that was held back for a stop string that did not come."""
        rest, self._held = self._held, ""
        return rest

    def _decode(self) -> str:
        return self._tokenizer.decode(
            self._tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def _slide(self, waiting: int) -> None:
        # A few tokens stay in front, because some tokenizers strip the space of a first token.
        self._tokens = self._tokens[-_CONTEXT_TOKENS:]
        self._sent = len(self._decode()) - waiting

    def _until_stop(self, fresh: str) -> str:
        text = self._held + fresh
        found = [place for place in (text.find(each) for each in self._stop) if place >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)]
        keep = max((_overlap(text, each) for each in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _broken_tail(text: str) -> int:
    """How many replacement characters at the end may still become a real character."""
    return min(len(text) - len(text.rstrip(_BROKEN)), _LONGEST_START)


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
