"""Adapters and the aliases that point at them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from academy.settings import Settings
from academy.store.models.tables import Adapter, Alias
from academy.web.shapes import Done, Sent, Shown

ALIAS_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"


class AdapterShown(Shown):
    """A trained adapter. It never changes; only aliases move."""

    adapter_id: str
    adapter_path: str
    base_model: str
    created_at: datetime
    training_params: dict[str, Any]
    is_active: bool = Field(description="whether the alias 'default' points at it")
    aliases: list[str] = Field(description="every alias that points at it")
    digest: str
    base_digest: str | None
    dataset_id: str | None
    job_id: str | None
    parent_id: str | None
    role: str | None
    metrics: dict[str, Any]
    code_version: str


class DownloadQuery(Sent):
    """How a downloaded adapter names its base model."""

    base: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="a folder, or a name on a model hub, for PEFT's 'base_model_name_or_path'",
    )


class AdapterGone(Done):
    """An adapter is deleted."""

    id: str


class Activate(Sent):
    """Which adapter is to serve under which alias."""

    adapter_id: str = Field(min_length=1, max_length=200, description="the adapter to serve")
    adapter_path: str | None = Field(
        None, max_length=4096, description="if given, it must be the adapter's own path"
    )
    alias: str = Field("default", pattern=ALIAS_PATTERN, description="the name that clients use")
    expected_generation: int | None = Field(
        None, ge=0, description="refuse if the alias was moved since this generation"
    )
    reason: str | None = Field(None, max_length=500, description="kept in the alias's history")


class Deactivate(Sent):
    """Which alias is to serve the base model again."""

    alias: str = Field("default", pattern=ALIAS_PATTERN, description="the name that clients use")
    expected_generation: int | None = Field(
        None, ge=0, description="refuse if the alias was moved since this generation"
    )
    reason: str | None = Field(None, max_length=500, description="kept in the alias's history")


class AliasMoved(Done):
    """Where an alias points now."""

    alias: str
    adapter_id: str | None
    previous_adapter_id: str | None
    generation: int
    swap_seconds: float


class AliasShown(Shown):
    """An alias; without an adapter it means the base model."""

    name: str
    adapter_id: str | None
    generation: int
    updated_at: datetime


class AliasList(Shown):
    """All aliases by name."""

    count: int
    aliases: list[AliasShown]


class AliasMoveShown(Shown):
    """What an alias began to point at, and why."""

    generation: int
    from_adapter_id: str | None
    to_adapter_id: str | None
    moved_by: str | None
    reason: str | None
    swap_seconds: float | None
    at: datetime


class AliasHistory(Shown):
    """Every move of an alias, newest first."""

    alias: str
    count: int
    moves: list[AliasMoveShown]


def adapter_path(adapter: Adapter, settings: Settings) -> str:
    """Where an adapter's folder lies in the artifact store."""
    return f"{settings.artifacts_url}/{adapter.key}"


def adapter_body(
    adapter: Adapter, aliases: list[Alias] | tuple[Alias, ...], settings: Settings
) -> dict[str, Any]:
    """The fields of `AdapterShown`."""
    names = [each.name for each in aliases if each.adapter_id == adapter.id]
    return {
        "adapter_id": adapter.id,
        "adapter_path": adapter_path(adapter, settings),
        "base_model": adapter.base_model,
        "created_at": adapter.created_at,
        "training_params": adapter.parameters,
        "is_active": "default" in names,
        "aliases": names,
        "digest": adapter.digest,
        "base_digest": adapter.base_digest,
        "dataset_id": adapter.dataset_id,
        "job_id": adapter.job_id,
        "parent_id": adapter.parent_id,
        "role": adapter.role,
        "metrics": adapter.metrics,
        "code_version": adapter.code_version,
    }
