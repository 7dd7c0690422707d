"""OpenAI's shapes, as its clients send and expect them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from academy.web.shapes import Shown


class ChatWanted(BaseModel):
    """A chat. The fields here are the gateway's; the model server checks all the others."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    model: str = Field(
        min_length=1,
        max_length=200,
        description="an alias such as 'default', an adapter's id, or the base model's name",
    )
    messages: tuple[dict[str, Any], ...] = Field(min_length=1, max_length=10_000)
    stream: bool | None = Field(None, description="whether to answer in server-sent chunks")


class ChatAnswered(Shown):
    """A whole answer (https://platform.openai.com/docs/api-reference/chat/object)."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any]


class ModelShown(Shown):
    """A name that chats can ask for."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    kind: Literal["alias", "base", "adapter"]
    adapter_id: str | None = Field(description="the adapter that answers now; null: the base model")


class ModelList(Shown):
    """Every name that chats can ask for."""

    object: Literal["list"] = "list"
    data: list[ModelShown]
