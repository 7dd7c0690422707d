"""What people write stays text: no marker that they type ends a turn, in training or in chat.

A chat template puts markers such as ``<|im_end|>`` around what was said, and the tokenizer makes
one token of each, whoever wrote it. So a marker in a message would be a turn's end to the model.
Here the tokenizer is kept from seeing it: a seam, a special token of our own that the model never
gets, is put behind the first letter of each such marker before the template is rendered, and left
out of the tokens. It is the same wherever a conversation becomes tokens: in previews, in the
preflight, in the trainer and in the model server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

#: Characters of a private plane, which no text of people's holds and no tokenizer knows as a whole.
SEAM = "\U0010f5ea\U0010f0a3\U0010f5ea"
_PROBES: tuple[list[dict[str, str]], ...] = (
    [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ],
    [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}],
)


class LiteralText:
    """For one tokenizer: of `transformers`, or `academy.basemodels.tokenizer.ChatTokenizer`.

    Markers are the tokenizer's special tokens, and whatever other tokens of their own the chat
    template puts around messages.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._seamed: _Seamed | None = None
        found = _markers(tokenizer)
        markers = sorted((each for each in found if len(each) > 1), key=len, reverse=True)
        #: The ids of all of them.
        self.marker_ids = frozenset(found.values())
        self._marker = re.compile("|".join(map(re.escape, markers))) if markers else None

    def guarded(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The messages, or the tools, with a seam in each marker that their texts hold."""
        return [
            {
                name: value if name == "role" else self._guarded(value)
                for name, value in each.items()
            }
            for each in messages
        ]

    def _guarded(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.guard(value)
        if isinstance(value, dict):
            return {self.guard(name): self._guarded(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._guarded(each) for each in value]
        return value

    def guard(self, text: str) -> str:
        """The text with a seam behind the first character of each marker in it."""
        text = text.replace(SEAM, "")
        if self._marker is None:
            return text
        at, out = 0, []
        # One by one, as the rest of a marker may begin another one.
        while found := self._marker.search(text, at):
            out += [text[at : found.start() + 1], SEAM]
            at = found.start() + 1
        return "".join([*out, text[at:]])

    def tokens(self, text: str) -> list[int]:
        """The ids of a rendered text, in which the template has put every special token there is.

        What stands left and right of a seam is never one token.
        """
        if SEAM not in text:
            ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)[
                "input_ids"
            ]
            return ids
        if self._seamed is None:
            self._seamed = _Seamed(self._tokenizer)
        return self._seamed.tokens(text)


def _markers(tokenizer: Any) -> dict[str, int]:
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    around = _around_messages(tokenizer)
    return {
        each.content: number
        for number, each in added.items()
        if each.special or each.content in around
    }


def _around_messages(tokenizer: Any) -> str:
    """What the template itself writes, with three letters of ours; empty where it refuses."""
    texts = []
    for probe in _PROBES:
        try:
            texts.append(
                tokenizer.apply_chat_template(probe, tokenize=False, add_generation_prompt=False)
            )
        except TemplateError:
            continue
    return "".join(texts)


class _Seamed:
    """A copy of the tokenizer that knows the seam.

    A normaliser that puts a blank before each text (Llama's first tokenizers) would put one behind
    each seam, too. The copy has none, so the blanks that belong there are put in by hand: at the
    beginning, and behind each token of its own.
    """

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers import AddedToken, Tokenizer

        backend = tokenizer.backend_tokenizer
        body = json.loads(backend.to_str())
        self._blank, body["normalizer"] = _without_prepend(body.get("normalizer"))
        self._copy = Tokenizer.from_str(json.dumps(body))
        self._copy.no_truncation()
        self._copy.no_padding()
        self._copy.add_special_tokens([AddedToken(SEAM, special=True, normalized=False)])
        self._seam = self._copy.token_to_id(SEAM)
        added = [each.content for each in backend.get_added_tokens_decoder().values()]
        own = "|".join(map(re.escape, sorted(added, key=len, reverse=True)))
        self._beginnings = re.compile(f"(^|{own})(?=.)(?!{own})" if own else "(^)(?=.)", re.DOTALL)

    def tokens(self, text: str) -> list[int]:
        """The ids of a text without those of the seams."""
        if self._blank:
            text = self._beginnings.sub(lambda found: found.group(1) + self._blank, text)
        found = self._copy.encode(text, add_special_tokens=False).ids
        return [each for each in found if each != self._seam]


def _without_prepend(normalizer: Any) -> tuple[str, Any]:
    """What a normaliser (as JSON) puts before each text, and the normaliser without that."""
    if not isinstance(normalizer, dict):
        return "", normalizer
    if normalizer.get("type") == "Prepend":
        return str(normalizer.get("prepend", "")), None
    if normalizer.get("type") != "Sequence":
        return "", normalizer
    kept, blank = [], ""
    for each in normalizer.get("normalizers", []):
        before, rest = _without_prepend(each)
        blank = blank or before
        kept += [] if rest is None else [rest]
    return blank, {**normalizer, "normalizers": kept}
