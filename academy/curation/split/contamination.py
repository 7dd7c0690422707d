"""Keeping what a model is tested on out of what it learns from."""

from __future__ import annotations

from collections.abc import Iterable

from academy.curation.spool import hash64
from academy.curation.words import words_of

#: Words in a row that two texts must share to count as the same (GPT-3, Brown et al. 2020, app. C).
WORDS = 13


class Protected:
    """The texts that must not be trained on, as hashes of their 13-word runs; false when empty."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._runs: set[int] = set()
        self._short: set[int] = set()
        for text in texts:
            words = words_of(text)
            if len(words) >= WORDS:
                self._runs.update(hash64(run) for run in _runs(words))
            elif words:
                self._short.add(hash64(" ".join(words)))

    def __bool__(self) -> bool:
        return bool(self._runs or self._short)

    def match(self, text: str) -> str | None:
        """The first run of 13 words that is protected, or the whole of a short protected text."""
        words = words_of(text)
        if self._short and hash64(" ".join(words)) in self._short:
            return " ".join(words)
        if self._runs:
            for run in _runs(words):
                if hash64(run) in self._runs:
                    return run
        return None


def _runs(words: list[str]) -> Iterable[str]:
    return (" ".join(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1))
