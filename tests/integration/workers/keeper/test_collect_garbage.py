"""The keeper collects garbage, and does not list the artifact store at each sweep."""

from __future__ import annotations

import os
import time
from pathlib import Path

from academy.artifacts.manifest import write_manifest
from academy.artifacts.store import ArtifactStore
from academy.settings import Settings
from academy.store.engine import Sessions
from workers.keeper.collect_garbage import CollectGarbage
from workers.keeper.duty import Context
from workers.keeper.loop import Keeper

GRACE = 1000.0


def publish_old(store: ArtifactStore, folder: Path, content: str) -> str:
    folder.mkdir()
    (folder / "weights").write_text(content)
    write_manifest(folder)
    key = store.publish(folder, "adapters")
    assert store.local_root is not None
    past = time.time() - 2 * GRACE
    for path in sorted(store.local_root.rglob("*"), reverse=True):
        os.utime(path, (past, past))
    return key


def test_the_store_is_not_listed_again_before_its_interval_is_over(
    settings: Settings, sessions: Sessions, tmp_path: Path
) -> None:
    store = ArtifactStore(settings)
    duty = CollectGarbage(Context.of(settings.changed(artifact_grace_seconds=GRACE), sessions))
    key = publish_old(store, tmp_path / "a", "a")
    assert duty.do() == 1
    assert not store.holds(key)
    key = publish_old(store, tmp_path / "b", "b")
    assert duty.do() == 0
    assert store.holds(key)


def test_a_short_grace_makes_it_listed_as_often(
    settings: Settings, sessions: Sessions, tmp_path: Path
) -> None:
    store = ArtifactStore(settings)
    duty = CollectGarbage(Context.of(settings.changed(artifact_grace_seconds=0.0), sessions))
    for name in "ab":
        publish_old(store, tmp_path / name, name)
        assert duty.do() == 1


def test_a_sweep_of_the_keeper_collects(
    settings: Settings, sessions: Sessions, tmp_path: Path
) -> None:
    store = ArtifactStore(settings)
    key = publish_old(store, tmp_path / "a", "a")
    keeper = Keeper(settings.changed(artifact_grace_seconds=GRACE), sessions)
    keeper.sweep()
    assert not store.holds(key)
    key = publish_old(store, tmp_path / "b", "b")
    keeper.sweep()
    assert store.holds(key)
