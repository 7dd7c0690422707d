"""A chat request as it comes over HTTP: OpenAI's fields, every one checked.

Fields that cannot change an answer here are taken and ignored; those that ask for something this
server does not do are refused by name. Standard library and pydantic only.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from academy.errors import InvalidRequest
from academy.runtime.generation import Sampling


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TextPart(_Strict):
    """One part of a message's content; only text is understood."""

    type: Literal["text"]
    text: str


class Message(_Strict):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None
    refusal: None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None

    def as_template(self) -> dict[str, str]:
        """The turn as chat templates expect it."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(_Strict):
    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class ResponseFormat(_Strict):
    type: Literal["text"]


StopText = Annotated[str, Field(min_length=1, max_length=200)]


class ChatRequest(_Strict):
    """What `POST /v1/chat/completions` takes."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = Field(None, ge=0, lt=2**63)
    stop: list[StopText] = Field([], max_length=16)
    stop_token_ids: list[Annotated[int, Field(ge=0)]] | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    # Taken and ignored: they say who asks, or how to bill it.
    user: str | None = None
    metadata: dict[str, str] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: Literal["auto", "default"] | None = None
    parallel_tool_calls: bool | None = None

    # Taken with the one value that is served; another one is refused by name.
    n: Literal[1] | None = None
    store: Literal[False] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    modalities: list[Literal["text"]] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _listed(cls, stop: object) -> object:
        return [] if stop is None else [stop] if isinstance(stop, str) else stop

    @model_validator(mode="after")
    def _one_limit(self) -> ChatRequest:
        both = (self.max_tokens, self.max_completion_tokens)
        if None not in both and both[0] != both[1]:
            raise ValueError("max_tokens and max_completion_tokens contradict each other")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        return self

    @property
    def limit(self) -> int | None:
        """The most tokens that the answer may have; None: as the server likes."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk of token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, defaults: dict[str, float]) -> Sampling:
        """How to sample: as asked, else as the model's authors recommend, else as OpenAI does."""
        asked = {
            name: getattr(self, name)
            for name in Sampling.__dataclass_fields__
            if getattr(self, name) is not None
        }
        return Sampling(**{**defaults, **asked})


def parse_chat(payload: object) -> ChatRequest:
    """Check a decoded JSON body. Raises `InvalidRequest`, which names every wrong field."""
    try:
        return ChatRequest.model_validate(payload)
    except ValidationError as error:
        raise refusal(error) from None


def refusal(error: ValidationError) -> InvalidRequest:
    """pydantic's findings as one error that names each field and what is allowed in it."""
    found: dict[str, str] = {}
    for each in error.errors(include_url=False, include_input=True):
        pointer = "/" + "/".join(str(part) for part in each["loc"] if not _is_branch(part))
        value = each["input"]
        shown = f" (it is {value!r})" if isinstance(value, str | int | float) else ""
        why = "there is no such field" if each["type"] == "extra_forbidden" else each["msg"]
        found.setdefault(pointer, f"{why}{shown[:120]}")
    text = "; ".join(f"{pointer[1:] or 'body'}: {why}" for pointer, why in found.items())
    return InvalidRequest(
        detail=text, errors=[{"pointer": pointer, "detail": why} for pointer, why in found.items()]
    )


def _is_branch(part: object) -> bool:
    """pydantic puts the tried type of a union into the path; no client wrote that."""
    return isinstance(part, str) and (part == "str" or "[" in part)
