"""Rows as tokens, with a mark on each token that the model shall learn to say.

Only the assistant's answers are learnt, each with the token that ends its turn. An answer begins
where the prompt ends that the model server would send at that place, in the template's text and in
tokens; `academy.trainer.data.rendering` sees to the text. Markers that people wrote are text
(`academy.basemodels.literal_text`). Of a preference pair only the answer that is chosen or rejected
counts, and no earlier one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jinja2 import TemplateError
from numpy.typing import NDArray

from academy.basemodels.conversation import as_texts, knows_tools, says_all, text_of, uses_tools
from academy.basemodels.literal_text import SEAM, LiteralText
from academy.trainer.data.rendering import NoPlaceForAnswer, Rendered, common
from academy.trainer.data.rows import AnyRow, PreferenceRow, Row
from academy.trainer.spec import BadSpec

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
    unlearnt: int = 0  # earlier answers that are not learnt: empty, or rewritten by the template

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

    @property
    def unlearnt(self) -> int:
        """How many earlier answers are not learnt: empty, or rewritten by the template."""
        return sum(each.unlearnt for row in self.rows for each in row.sequences)


@dataclass(frozen=True)
class _Tokens:
    """What `ChatEncoder` makes of one conversation, before it is known to fit."""

    tokens: NDArray[np.int32]
    learnt: NDArray[np.bool_]
    unlearnt: int


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
        self._literal = LiteralText(tokenizer)
        self._special = self._literal.marker_ids.union(tokenizer.all_special_ids)

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
        if row.messages[-1].get("weight") == 0:
            return "its answer has the weight 0"
        encoded = self._fitted(row.id, row.messages[:-1], row.messages[-1:], row.tools, every=True)
        return encoded if isinstance(encoded, str) else encoded[0]

    def encode_pair(self, row: PreferenceRow) -> EncodedPair | str:
        """The encoded pair, or the reason why it cannot be learnt from.

        Both answers follow the very same prompt, cut, if need be, so that the longer one fits.
        """
        answers = [{"role": "assistant", "content": each} for each in (row.chosen, row.rejected)]
        encoded = self._fitted(row.id, row.messages, answers, row.tools, every=False)
        if isinstance(encoded, str):
            return encoded
        chosen, rejected = encoded
        if np.array_equal(chosen.tokens, rejected.tokens):
            return "the chosen and the rejected answer are the same"
        return EncodedPair(row.id, chosen, rejected)

    def _fitted(
        self,
        row_id: str,
        prompt: Sequence[dict[str, Any]],
        answers: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        *,
        every: bool,
    ) -> list[Encoded] | str:
        """The prompt with each of the answers, shortened alike until all of them fit.

        With `every`, the answers in the prompt are learnt, too, but for those of weight 0.
        """
        if uses_tools([*prompt, *answers], tools) and not self._shows(prompt, answers, tools):
            prompt = as_texts(prompt, tools)
            answers, tools = as_texts(answers, ()), ()
        messages = list(prompt)
        cut = False
        while True:
            try:
                encoded = [self._tokens([*messages, each], tools, every) for each in answers]
            except TemplateError as error:
                return f"the model's chat template refuses it: {str(error)[:200]}"
            except NoPlaceForAnswer as error:
                return str(error)
            excess = max(len(each.tokens) for each in encoded) - self._max_length
            if excess <= 0:
                return [
                    Encoded(row_id, each.tokens, each.learnt, cut, each.unlearnt)
                    for each in encoded
                ]
            if not self._shorten(messages, excess):
                return "the answer does not fit into max_seq_length"
            cut = True

    def _shows(
        self,
        prompt: Sequence[dict[str, Any]],
        answers: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
    ) -> bool:
        """Whether the chat template says itself what the conversation has of tools."""
        for answer in answers:
            messages = [*prompt, answer]
            if not knows_tools(self._tokenizer.chat_template, messages, tools):
                return False
            try:
                text = self._render(messages, tools=tools)
            except TemplateError:
                return False
            if not says_all(text, messages, tools):
                return False
        return True

    def _tokens(
        self, messages: list[dict[str, Any]], tools: Sequence[dict[str, Any]], every: bool
    ) -> _Tokens:
        turns = self._literal.guarded(messages)
        render = partial(self._render, tools=self._literal.guarded(tools))
        rendered = Rendered(render, turns)
        prompt = self._literal.tokens(rendered.prompt)
        tokens = self._literal.tokens(rendered.text)
        if tokens[: len(prompt)] != prompt:
            # A token reaches over the answer's beginning; what is served ends before it.
            answer = rendered.text[len(rendered.prompt) :]
            tokens = self._literal.tokens(rendered.prompt + SEAM + answer)
        learnt = np.zeros(len(tokens), dtype=bool)
        learnt[len(prompt) : self._end_of_turn(tokens, len(prompt), len(tokens))] = True
        if not learnt.any():
            raise NoPlaceForAnswer("no answer token is left to learn")
        unlearnt = 0
        # An opening assistant turn answers nothing, so there is nothing to learn from it.
        for index in range(1, len(turns) - 1) if every else ():
            message = messages[index]
            if message["role"] != "assistant" or message.get("weight") == 0:
                continue
            is_empty = not text_of(message).strip()
            place = None if is_empty else self._place(rendered, index, tokens)
            if place is None:
                unlearnt += 1
            else:
                learnt[place] = True
        final = int(np.flatnonzero(learnt)[-1])
        tokens, learnt = tokens[: final + 1], learnt[: final + 1]
        if tokens[-1] not in self._special and self._tokenizer.eos_token_id is not None:
            # The template does not end a turn, so the model would never learn to stop.
            tokens = [*tokens, self._tokenizer.eos_token_id]
            learnt = np.append(learnt, True)
        return _Tokens(np.array(tokens, dtype=np.int32), learnt, unlearnt)

    def _place(self, rendered: Rendered, index: int, tokens: list[int]) -> slice | None:
        """Where an earlier answer is in the tokens; None where it does not follow its prompt."""
        found = rendered.asked(index)
        if found is None:
            return None
        start = self._literal.tokens(found[0])
        if tokens[: len(start)] != start:
            return None
        end = common(tokens, self._literal.tokens(found[1]))
        return slice(len(start), self._end_of_turn(tokens, len(start), end))

    def _end_of_turn(self, tokens: list[int], start: int, end: int) -> int:
        """Where the answer that begins at `start` ends: behind its end-of-turn token.

        Nothing is generated after it: a line break that the template puts behind it belongs to the
        next turn.
        """
        for place in range(end - 1, start - 1, -1):
            if tokens[place] in self._special:
                tail = self._tokenizer.decode(tokens[place + 1 : end])
                return end if tail.strip() else place + 1
        return end

    def _shorten(self, messages: list[dict[str, Any]], excess: int) -> bool:
        """Take about `excess` tokens out of the middle of one message; False if none can give."""
        for role in ("user", "tool", "system"):
            places = [place for place, each in enumerate(messages) if each["role"] == role]
            place = max(places, key=lambda each: len(messages[each]["content"]), default=None)
            if place is None:
                continue
            content = messages[place]["content"]
            tokens = max(1, len(self._literal.tokens(self._literal.guard(content))))
            # A bit less than fits, because the mark and the new seams cost tokens, too.
            keep = math.floor((tokens - excess - 8) * len(content) / tokens)
            if len(content) <= _LEAST_CHARACTERS:
                continue
            # Eight characters fewer at least, so that this comes to an end in any script.
            keep = min(keep, len(content) - len(CUT_MARK) - 8)
            keep = max(keep, _LEAST_CHARACTERS - len(CUT_MARK) - 8)
            head, tail = content[: (keep + 1) // 2], content[len(content) - keep // 2 :]
            messages[place] = {**messages[place], "content": head + CUT_MARK + tail}
            return True
        return False

    def _render(
        self,
        messages: Sequence[dict[str, Any]],
        asks: bool = False,
        *,
        tools: Sequence[dict[str, Any]] = (),
    ) -> str:
        if not messages:
            return ""
        text: str = self._tokenizer.apply_chat_template(
            list(messages),
            tools=list(tools) or None,
            tokenize=False,
            add_generation_prompt=asks,
        )
        return text
