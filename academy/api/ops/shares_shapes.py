"""Shares: how the workers are divided between roles and keys."""

from __future__ import annotations

from pydantic import Field

from academy.web.shapes import Sent, Shown


class WeightWanted(Sent):
    """A share's new weight."""

    weight: float = Field(
        gt=0, le=1000, description="its part of the workers against those of others; unset: 1"
    )


class ShareShown(Shown):
    """A role or key, its weight, and its jobs that run and wait."""

    name: str = Field(description="'role:NAME', or 'key:NAME' for jobs without a role")
    weight: float
    running: int
    queued: int


class ShareList(Shown):
    """Every share that has a weight or live jobs, by name."""

    count: int
    shares: list[ShareShown]
