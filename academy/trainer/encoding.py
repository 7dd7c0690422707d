"""Conversations as tokens, with a mark on each token that the model shall learn to say.

Only the assistant's answers are learnt, each with the token that ends its turn. Where an answer
begins is found by rendering the conversation up to there with the model's own chat template and
comparing tokens, which works with every template that only appends.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import TemplateError
from numpy.typing import NDArray

from academy.trainer.rows import Row
from academy.trainer.spec import BadDataset, BadSpec

#: Stands where the middle of a long prompt was cut out.
CUT_MARK = "\n[…]\n"
#: A message is not cut below so many characters: less of it would be a riddle, not a prompt.
_LEAST_CHARACTERS = 64


@dataclass(frozen=True)
class Encoded:
    """One row as the model sees it. It ends with the last token that is learnt.

    `tokens` (length,) are ids; `learnt` (length,) says which of them count in the loss.
    """

    id: str
    tokens: NDArray[np.int32]
    learnt: NDArray[np.bool_]
    cut: bool  # the middle of its prompt was left out to fit

    @property
    def answer_tokens(self) -> int:
        """How many tokens count in the loss."""
        return int(self.learnt.sum())


@dataclass(frozen=True)
class EncodedRows:
    """The usable rows, and how many were left out for which reason."""

    rows: list[Encoded]
    dropped: dict[str, int]

    @property
    def cut(self) -> int:
        """How many rows lost the middle of their prompt."""
        return sum(row.cut for row in self.rows)


class ChatEncoder:
    """Encodes rows for one tokenizer; raises `BadSpec` if that has no chat template."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        if not tokenizer.chat_template:
            raise BadSpec(
                detail="the base model has no chat template, so what it was trained to read is "
                "unknown; use an instruct model, or put a chat_template.jinja into its folder"
            )
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._special = frozenset(tokenizer.all_special_ids)

    def encode_all(self, rows: Iterable[Row], check: Callable[[], None]) -> EncodedRows:
        """Encode the rows; `check` is called before each and may raise to stop."""
        kept: list[Encoded] = []
        dropped: Counter[str] = Counter()
        for row in rows:
            check()
            encoded = self.encode(row)
            if isinstance(encoded, str):
                dropped[encoded] += 1
            else:
                kept.append(encoded)
        return EncodedRows(kept, dict(dropped))

    def encode(self, row: Row) -> Encoded | str:
        """The encoded row, or the reason why it cannot be learnt from.

        A row over the maximum length loses the middle of its longest user message (then of its
        system message) until it fits. An answer is never cut: a model that learns from half an
        answer learns to stop in the middle.
        """
        messages = list(row.messages)
        cut = False
        while True:
            try:
                tokens, learnt = self._tokens(messages)
            except TemplateError as error:
                detail = f"the model's chat template refuses row {row.id!r} ({error})"
                raise BadDataset(detail=detail) from error
            if not learnt.any():
                return "no answer token is left to learn"
            excess = len(tokens) - self._max_length
            if excess <= 0:
                return Encoded(row.id, tokens, learnt, cut)
            if not self._shorten(messages, excess):
                return "the answer does not fit into max_seq_length"
            cut = True

    def _tokens(self, messages: list[dict[str, str]]) -> tuple[NDArray[Any], NDArray[Any]]:
        text = self._render(messages)
        tokens = self._tokenize(text)
        learnt = np.zeros(len(tokens), dtype=bool)
        for index, message in enumerate(messages):
            # An opening assistant turn answers nothing, so there is nothing to learn from it.
            if message["role"] == "assistant" and index > 0:
                learnt[self._span(messages, index, text, tokens)] = True
        if learnt.any():
            last = int(np.flatnonzero(learnt)[-1])
            tokens, learnt = tokens[: last + 1], learnt[: last + 1]
            if tokens[-1] not in self._special and self._tokenizer.eos_token_id is not None:
                # The template does not end a turn, so the model would never learn to stop.
                tokens = [*tokens, self._tokenizer.eos_token_id]
                learnt = np.append(learnt, True)
        return np.array(tokens, dtype=np.int32), learnt

    def _span(
        self, messages: list[dict[str, str]], index: int, text: str, tokens: list[int]
    ) -> slice:
        """Where message `index` is in `tokens`: from its first own token to its end of turn."""
        before = self._render(messages[:index])
        upto = text if index == len(messages) - 1 else self._render(messages[: index + 1])
        if not (text.startswith(before) and text.startswith(upto)):
            # The template rewrites earlier turns (some drop old reasoning), so at this place the
            # model would learn an answer to something that it never gets to see.
            return slice(0, 0)
        prompt = self._render(messages[:index], add_generation_prompt=True)
        start = _common(tokens, self._tokenize(prompt))
        end = len(tokens) if upto is text else _common(tokens, self._tokenize(upto))
        # Nothing is generated after the end-of-turn token: a line break that the template puts
        # behind it belongs to the next turn.
        for place in range(end - 1, start - 1, -1):
            if tokens[place] in self._special:
                tail = self._tokenizer.decode(tokens[place + 1 : end])
                return slice(start, end if tail.strip() else place + 1)
        return slice(start, end)

    def _shorten(self, messages: list[dict[str, str]], excess: int) -> bool:
        """Take about `excess` tokens out of the middle of one message; False if none can give."""
        for role in ("user", "system"):
            places = [place for place, each in enumerate(messages) if each["role"] == role]
            place = max(places, key=lambda each: len(messages[each]["content"]), default=None)
            if place is None:
                continue
            content = messages[place]["content"]
            tokens = max(1, len(self._tokenize(content)))
            # A bit less than fits, because the mark and the new seams cost tokens, too.
            keep = math.floor((tokens - excess - 8) * len(content) / tokens)
            if len(content) <= _LEAST_CHARACTERS:
                continue
            # Eight characters fewer at least, so that this comes to an end in any script.
            keep = min(keep, len(content) - len(CUT_MARK) - 8)
            keep = max(keep, _LEAST_CHARACTERS - len(CUT_MARK) - 8)
            head, tail = content[: (keep + 1) // 2], content[len(content) - keep // 2 :]
            messages[place] = {"role": role, "content": head + CUT_MARK + tail}
            return True
        return False

    def _render(self, messages: list[dict[str, str]], add_generation_prompt: bool = False) -> str:
        if not messages:
            return ""
        text: str = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text

    def _tokenize(self, text: str) -> list[int]:
        # The template has already put in every special token that belongs there.
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


def _common(left: list[int], right: list[int]) -> int:
    """How many tokens two sequences share from their start."""
    length = min(len(left), len(right))
    for place in range(length):
        if left[place] != right[place]:
            return place
    return length
