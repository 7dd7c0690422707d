"""Keepers as ``/status`` and ``/readyz`` show them."""

from __future__ import annotations

from typing import Any

from academy.store.jobs.tables import Keeper

#: A sweep may take a while beside the pause between two.
_SWEEP_SECONDS = 15.0


def keeper_body(keeper: Keeper, silent_seconds: float) -> dict[str, Any]:
    """The fields of `KeeperShown`, of a keeper that last swept so long ago."""
    return {
        "id": keeper.id,
        "host": keeper.host,
        "pid": keeper.pid,
        "started_at": keeper.started_at,
        "last_sweep_at": keeper.swept_at,
        "late": is_late(keeper, silent_seconds),
    }


def is_late(keeper: Keeper, silent_seconds: float) -> bool:
    """Whether it should have swept again by now."""
    return silent_seconds > keeper.interval_seconds + _SWEEP_SECONDS
