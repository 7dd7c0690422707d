"""What the shapes are made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Sent(BaseModel):
    """Something that a client sends: unknown fields, wrong types and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Shown(BaseModel):
    """Something that the server answers; later versions may add fields."""

    model_config = ConfigDict(frozen=True, extra="allow", from_attributes=True)


class Done(Shown):
    """An answer of the seeds' style: whether it worked, and a sentence."""

    success: bool = True
    message: str


class Empty(Sent):
    """A body without fields."""
