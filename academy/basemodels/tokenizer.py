"""A base model's tokenizer and chat template without transformers, which takes seconds to import.

It does what `transformers.AutoTokenizer` does with the same files (`tokenizer.json`,
`tokenizer_config.json`, `chat_template.jinja`), as far as showing and counting tokens needs it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from academy.errors import AcademyError

_NAMED_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class NoChatTokenizer(AcademyError):
    """The tokens of the base model {name!r} cannot be shown: {why}."""

    code = "no_chat_tokenizer"
    status = 422
    next_step = "Name a base model that has a tokenizer.json and a chat template."


class ChatTokenizer:
    """Renders conversations and counts their tokens; the names are those of transformers."""

    def __init__(self, folder: Path) -> None:
        """Raises `NoChatTokenizer` if the folder has no tokenizer or template that can be read."""
        from tokenizers import Tokenizer  # 20 ms that only who looks at tokens should pay

        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._config = _read(folder / "tokenizer_config.json")
            self.chat_template = _template_of(folder, self._config)
        except Exception as error:  # tokenizers raises the bare class for a file that is none
            raise NoChatTokenizer(name=folder.name, why=str(error)) from error
        # The files may ask for cut or padded texts; what is shown must be whole.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._named = _named_tokens(self._config)

    @property
    def backend_tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer` that does the work."""
        return self._tokenizer

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of the tokens that are no text, such as the end of a turn."""
        names = [*self._named.values(), *_extra_tokens(self._config)]
        ids = (self._tokenizer.token_to_id(each) for each in names)
        return sorted({each for each in ids if each is not None})

    @property
    def eos_token_id(self) -> int | None:
        """The id of the token that ends a text."""
        name = self._named.get("eos_token")
        return None if name is None else self._tokenizer.token_to_id(name)

    def apply_chat_template(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        tools: Sequence[dict[str, Any]] | None = None,
        tokenize: bool = False,
        add_generation_prompt: bool = False,
    ) -> str:
        """The conversation as one text. Raises `jinja2.TemplateError` if the template refuses."""
        if tokenize:
            raise ValueError("this renders texts; call the tokenizer with the text for its tokens")
        rendered: str = _compiled(self.chat_template).render(
            messages=list(messages),
            tools=list(tools) if tools else None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **self._named,
        )
        return rendered

    def __call__(
        self, text: str, *, add_special_tokens: bool = False, verbose: bool = False
    ) -> dict[str, list[int]]:
        """The tokens of a text, as ``input_ids``."""
        encoded = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return {"input_ids": encoded.ids}

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones too."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def _template_of(folder: Path, config: dict[str, Any]) -> str:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):  # several by name, as older models have them
        found = {each.get("name"): each.get("template") for each in found}.get("default")
    if not isinstance(found, str):
        raise ValueError("it has no chat template")
    return found


def _named_tokens(config: dict[str, Any]) -> dict[str, str]:
    """``bos_token`` and so on, as far as the model names them."""
    found = {}
    for name in (f"{each}_token" for each in _NAMED_TOKENS):
        value = config.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str) and text:
            found[name] = text
    return found


def _extra_tokens(config: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for name in ("additional_special_tokens", "extra_special_tokens"):
        value = config.get(name) or []
        for each in value.values() if isinstance(value, dict) else value:
            text = each.get("content") if isinstance(each, dict) else each
            if isinstance(text, str):
                found.append(text)
    return found


@lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    """The template in a sandbox, with what chat templates expect (transformers' documentation).

    https://huggingface.co/docs/transformers/chat_templating_writing
    """
    from jinja2 import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}`` marks an answer; for the text itself it means nothing."""

        tags = {"generation"}  # noqa: RUF012  # jinja2's own way to name the tags

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **more: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **more)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)
