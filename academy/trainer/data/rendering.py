"""A conversation as the chat template writes it, so that each answer follows what will be served.

At an answer's place the model server sends what the template makes of the turns before it and of
``add_generation_prompt``. Most templates write the same when the answer is there. Some do not: they
open a thought for the model (``<think>``) that they leave out of turns that are over, or strip the
answer's own blanks. There the text is put together here: the prompt as it is served, then the
answer as it was given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import TemplateError

Turn = dict[str, Any]
Render = Callable[[Sequence[Turn], bool], str]
_OPENED = re.compile(r"<([A-Za-z_|]+)>\s*$")


class NoPlaceForAnswer(Exception):
    """The prompt that is served is not how what is trained on begins, and cannot be made to be."""


class Rendered:
    """The turns of one conversation, the last of which is an answer.

    `render(turns, asks)` gives the template's text, with the generation prompt if it `asks`.
    `prompt` is what is served before the last answer, and `text` begins with it. Raises
    `NoPlaceForAnswer`, and what the template raises.
    """

    def __init__(self, render: Render, turns: Sequence[Turn]) -> None:
        self._render = render
        self._turns = turns
        self.prompt = render(turns[:-1], True)
        self.text = _whole(self.prompt, render(turns, False), turns[-1]["content"])

    def asked(self, index: int) -> tuple[str, str] | None:
        """What is served before an earlier answer, and the text up to its end.

        None where `text` does not begin so, as the template has rewritten what was before or the
        answer itself (some drop old thoughts, or the blanks that it begins with): the model would
        learn an answer to something that it never gets to see.
        """
        answer = self._turns[index]["content"]
        try:
            asked = self._render(self._turns[:index], True)
            upto = self._render(self._turns[: index + 1], False)
        except TemplateError:  # of a part of the conversation, as nobody would send it
            return None
        # Some end a conversation by a token of its own, which is not there as long as it goes on.
        upto = upto[: common(upto, self.text)]
        said = self.text[len(asked) :]
        begin = said.find(answer.strip())
        fits = (
            self.text.startswith(asked)
            and begin >= 0
            and not said[:begin].strip()
            and said[:begin].endswith(_first_blanks(answer))
            and len(upto) >= len(asked) + begin + len(answer.strip())
        )
        return (asked, upto) if fits else None


def common(left: Sequence[Any], right: Sequence[Any]) -> int:
    """How many characters two texts, or tokens two lists of them, share from their start."""
    pairs = zip(left, right, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))


def _whole(prompt: str, text: str, answer: str) -> str:
    """What is trained on: the prompt that is served, and the answer with its end."""
    core = answer.strip()
    if text.startswith(prompt):
        return prompt + _with_own_blanks(text[len(prompt) :], answer, core)
    tag = _OPENED.search(prompt)
    if tag is not None and text.startswith(prompt[: tag.start()]):
        body = text[tag.start() :]
        closing = f"</{tag.group(1)}>"
        thought, closed, said = core.rpartition(closing)
        if closed:  # the answer has its thought with it, of which the template keeps the rest alone
            thought = thought.removeprefix(tag.group(0).strip()).lstrip("\n")
            begin = _found(body, said.strip())
            return f"{prompt}{thought}{closing}\n\n{body[begin:]}"
        begin = _found(body, core)
        return f"{prompt}\n{closing}\n\n" + _with_own_blanks(body[begin:], answer, core)
    # The template writes the turns before in another way once they are answered.
    begin = text.rfind(core) if core else -1
    if begin < 0:
        raise NoPlaceForAnswer("the model's chat template rewrites the answer")
    blanks = text[len(text[:begin].rstrip()) : begin]
    if "\n" in blanks or prompt.endswith(blanks):
        blanks = ""  # the end of a turn's heading, or there already
    return prompt + _with_own_blanks(blanks + text[begin:], answer, core)


def _found(body: str, core: str) -> int:
    begin = body.find(core)
    if begin < 0:
        raise NoPlaceForAnswer("the model's chat template rewrites the answer")
    return begin


def _with_own_blanks(body: str, answer: str, core: str) -> str:
    """The body with the blanks that the answer begins with, where the template stripped them."""
    own = _first_blanks(answer)
    begin = body.find(core)
    before = body[: max(begin, 0)]
    if not own or begin < 0 or before.strip() or before.endswith(own):
        return body
    return before + own + body[begin:]


def _first_blanks(answer: str) -> str:
    return answer[: len(answer) - len(answer.lstrip())]
