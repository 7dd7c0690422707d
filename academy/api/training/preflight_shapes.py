"""What is shown of a training before it is queued."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from academy.web.shapes import Shown


class Bin(Shown):
    """Rows whose length in tokens is from `from` to `to`."""

    from_: int = Field(alias="from")
    to: int
    rows: int


class LeftOut(Shown):
    """Rows that would not be learnt from, and why."""

    reason: str
    rows: int


class TokensShown(Shown):
    """The training rows as the base model will see them."""

    rows: int
    usable_rows: int
    truncated_rows: int = Field(description="rows that lose the middle of a long prompt")
    unlearnt_answers: int = Field(
        description="earlier answers that are empty or that the chat template rewrites"
    )
    fully_masked_rows: int = Field(description="rows without a token to learn; they are left out")
    left_out: list[LeftOut]
    tokens: int
    supervised_tokens: int = Field(description="tokens that count in the loss")
    supervised_share: float
    row_tokens: dict[str, float] = Field(
        description="mean, and the length that half, 90 % (most), 99 % and all rows do not pass"
    )
    histogram: list[Bin]


class ForecastShown(Shown):
    """A training on one kind of worker."""

    device: str = Field(description="'cpu' or the GPU's name")
    workers: list[str]
    could_take_it: bool
    why_not: list[str]
    recipe: dict[str, Any] | None = Field(description="with every 'auto' resolved, as it would run")
    fallback: list[dict[str, Any]] = Field(description="recipes looked at until one fits")
    memory: dict[str, int] | None = Field(description="bytes by part, and their total")
    memory_available_bytes: int | None = Field(
        description="what each of its processes may take: a GPU's memory, or its part of the "
        "host's within limits.memory_bytes"
    )
    memory_basis: str | None
    seconds: float | None
    seconds_low: float | None
    seconds_high: float | None
    time_basis: str | None


class PreflightShown(Shown):
    """What a training would be like; nothing was queued."""

    verdict: Literal["ready", "no_worker", "no_rows"]
    message: str
    dataset_id: str
    base_model: str
    parameters: int = Field(description="weights of the base model")
    trainable: int = Field(description="weights of the adapter")
    total_steps: int
    tokens: TokensShown
    worker_types: list[ForecastShown]
