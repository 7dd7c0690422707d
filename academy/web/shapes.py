"""What the shapes are made of.

Their validators are built when they are first asked for: all at once they are a tenth of the time
that the API takes to start.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Sent(BaseModel):
    """Something that a client sends: unknown fields, wrong types and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Shown(BaseModel):
    """Something that the server answers; later versions may add fields."""

    model_config = ConfigDict(frozen=True, extra="allow", from_attributes=True, defer_build=True)


class Done(Shown):
    """An answer of the seeds' style: whether it worked, and a sentence."""

    success: bool = True
    message: str


class Empty(Sent):
    """A body without fields."""


def exactly_one_of(*names: str) -> dict[str, Any]:
    """The JSON schema of the rule that one of these fields is given, and only one."""
    return {"oneOf": [_given(name) for name in names]}


def one_of(*names: str) -> dict[str, Any]:
    """The JSON schema of the rule that at least one of these fields is given."""
    return {"anyOf": [_given(name) for name in names]}


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
