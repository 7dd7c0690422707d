"""A keeper without a Docker engine has no containers; with one: `launchers/test_orphans.py`."""

from __future__ import annotations

import pytest

from workers.keeper.remove_orphans import RemoveOrphans


@pytest.mark.parametrize("engine", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_is_away_keeps_a_keeper_from_nothing(
    context, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine)
    assert RemoveOrphans(context).do() == 0
