"""Rows as tokens, with a mark on each token that the model shall learn to say.

Only the assistant's answers are learnt, each with the token that ends its turn. Where an answer
begins is found by rendering the conversation up to there with the model's own chat template and
comparing tokens, which works with every template that only appends. Of a preference pair only the
answer that is chosen or rejected counts, and no earlier one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import TemplateError
from numpy.typing import NDArray

from academy.trainer.data.rows import AnyRow, PreferenceRow, Row
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

    @property
    def weight(self) -> int:
        """What the row counts in a mean loss: its answer tokens."""
        return self.answer_tokens

    @property
    def sequences(self) -> tuple[Encoded, ...]:
        """What goes through the model for this row."""
        return (self,)

    @property
    def length(self) -> int:
        """The room that the row takes in a batch, in tokens."""
        return len(self.tokens)


@dataclass(frozen=True)
class EncodedPair:
    """The same prompt with the chosen and with the rejected answer.

    `reference` holds the log-likelihood in nats of either answer under the model that training
    starts from; None until that was computed.
    """

    id: str
    chosen: Encoded
    rejected: Encoded
    reference: tuple[float, float] | None = None

    @property
    def cut(self) -> bool:
        """Whether the middle of the prompt was left out to fit."""
        return self.chosen.cut

    @property
    def answer_tokens(self) -> int:
        """Tokens of both answers."""
        return self.chosen.answer_tokens + self.rejected.answer_tokens

    @property
    def weight(self) -> int:
        """What the pair counts in a mean loss: every pair the same."""
        return 1

    @property
    def sequences(self) -> tuple[Encoded, ...]:
        """What goes through the model for this pair."""
        return (self.chosen, self.rejected)

    @property
    def length(self) -> int:
        """The room that the pair takes in a batch, in tokens."""
        return 2 * max(len(each.tokens) for each in self.sequences)


Example = Encoded | EncodedPair


@dataclass(frozen=True)
class EncodedRows:
    """The usable rows, and how many were left out for which reason."""

    rows: list[Example]
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

    def encode_all(self, rows: Iterable[AnyRow], check: Callable[[], None]) -> EncodedRows:
        """Encode the rows; `check` is called before each and may raise to stop."""
        kept: list[Example] = []
        dropped: Counter[str] = Counter()
        for row in rows:
            check()
            encoded = self.encode(row) if isinstance(row, Row) else self.encode_pair(row)
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
        last = len(row.messages) - 1
        # An opening assistant turn answers nothing, so there is nothing to learn from it.
        answers = [n for n in range(1, last + 1) if row.messages[n]["role"] == "assistant"]
        encoded = self._fitted(row.id, row.messages[:last], [row.messages[last]], answers)
        return encoded if isinstance(encoded, str) else encoded[0]

    def encode_pair(self, row: PreferenceRow) -> EncodedPair | str:
        """The encoded pair, or the reason why it cannot be learnt from.

        Both answers follow the very same prompt, cut, if need be, so that the longer one fits.
        """
        answers = [{"role": "assistant", "content": each} for each in (row.chosen, row.rejected)]
        encoded = self._fitted(row.id, row.messages, answers, [len(row.messages)])
        if isinstance(encoded, str):
            return encoded
        chosen, rejected = encoded
        if np.array_equal(chosen.tokens, rejected.tokens):
            return "the chosen and the rejected answer are the same"
        return EncodedPair(row.id, chosen, rejected)

    def _fitted(
        self,
        row_id: str,
        prompt: Sequence[dict[str, str]],
        answers: Sequence[dict[str, str]],
        learn: Sequence[int],
    ) -> list[Encoded] | str:
        """The prompt with each of the answers, shortened alike until all of them fit.

        `learn` holds the places of the messages that are learnt.
        """
        messages = list(prompt)
        cut = False
        while True:
            try:
                encoded = [self._tokens([*messages, answer], learn) for answer in answers]
            except TemplateError as error:
                detail = f"the model's chat template refuses row {row_id!r} ({error})"
                raise BadDataset(detail=detail) from error
            if not all(learnt.any() for _, learnt in encoded):
                return "no answer token is left to learn"
            excess = max(len(tokens) for tokens, _ in encoded) - self._max_length
            if excess <= 0:
                return [Encoded(row_id, tokens, learnt, cut) for tokens, learnt in encoded]
            if not self._shorten(messages, excess):
                return "the answer does not fit into max_seq_length"
            cut = True

    def _tokens(
        self, messages: list[dict[str, str]], learn: Sequence[int]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        text = self._render(messages)
        tokens = self._tokenize(text)
        learnt = np.zeros(len(tokens), dtype=bool)
        for index in learn:
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
