"""What nobody names leaves the artifact store, and nothing else does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from academy.artifacts.manifest import write_manifest
from academy.artifacts.store import ArtifactStore
from academy.lifecycle import JobKind
from academy.ops import garbage
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, leases, transitions
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim
from academy.store.models import adapters
from academy.store.models.tables import Adapter

GRACE = 1000.0


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    return ArtifactStore(settings)


def publish(store: ArtifactStore, tmp_path: Path, kind: str, content: str) -> str:
    folder = tmp_path / f"made-{time.monotonic_ns()}"
    folder.mkdir()
    (folder / "weights").write_text(content)
    write_manifest(folder)
    return store.publish(folder, kind)


def grow_old(store: ArtifactStore) -> None:
    assert store.local_root is not None
    past = time.time() - 2 * GRACE
    for path in sorted(store.local_root.rglob("*"), reverse=True):
        os.utime(path, (past, past))


def claimed(sessions: Sessions) -> Claim:
    job = Job(id=jobs.new_id(JobKind.TRAINING), kind="training", queue="gpu", parameters={})
    with sessions.begin() as session:
        transitions.submit(session, job)
    with sessions.begin() as session:
        found = transitions.claim(session, "gpu", "w", 60.0)
        assert found is not None
        return Claim(found.id, found.fence, found.attempt, "w")


def test_an_adapter_that_was_never_recorded_goes_and_a_registered_one_stays(
    store: ArtifactStore, sessions: Sessions, tmp_path: Path
) -> None:
    named, unnamed = (publish(store, tmp_path, "adapters", each) for each in "ab")
    with sessions.begin() as session:
        row = Adapter(id="x", digest="d", key=named, base_model="m", parameters={}, metrics={})
        row.code_version = "0"
        adapters.register(session, row)
    assert garbage.collect(store, sessions, grace_seconds=GRACE) == []  # both are young
    grow_old(store)
    assert garbage.collect(store, sessions, grace_seconds=GRACE) == [unnamed]
    store.fetch(named)
    assert not store.holds(unnamed)


def test_checkpoints_go_when_their_job_passed_over_them_or_is_over(
    store: ArtifactStore, sessions: Sessions, tmp_path: Path
) -> None:
    held = claimed(sessions)
    kind = f"checkpoints/{held.job_id}"
    old, new = (publish(store, tmp_path, kind, each) for each in "ab")
    store.write_note(f"results/{held.job_id}.json", {"key": "adapters/0"})
    kept = [{"step": 2, "key": new, "digest": "sha256:" + new.rpartition("/")[2]}]
    with sessions.begin() as session:
        leases.record_checkpoint(session, held, {**kept[0], "kept": kept})
    grow_old(store)
    assert garbage.collect(store, sessions, grace_seconds=GRACE) == [old]
    with sessions.begin() as session:
        transitions.finish(session, held, {})
    assert garbage.collect(store, sessions, grace_seconds=GRACE) == []  # it ended just now
    assert garbage.collect(store, sessions, grace_seconds=0.0) == [
        f"results/{held.job_id}.json",
        new,
    ]


def test_a_copy_that_was_cut_off_goes(store: ArtifactStore, sessions: Sessions) -> None:
    assert store.local_root is not None
    torn = store.local_root / "adapters" / ".0f3a.1234"
    torn.mkdir(parents=True)
    (torn / "weights").write_text("half")
    grow_old(store)
    assert garbage.collect(store, sessions, grace_seconds=GRACE) == ["adapters/.0f3a.1234"]
    assert not torn.exists()


def test_publishing_again_makes_it_young(
    store: ArtifactStore, sessions: Sessions, tmp_path: Path
) -> None:
    key = publish(store, tmp_path, "adapters", "a")
    grow_old(store)
    assert publish(store, tmp_path, "adapters", "a") == key
    assert garbage.collect(store, sessions, grace_seconds=GRACE) == []


def test_a_store_in_memory_is_swept_alike(
    settings: Settings, sessions: Sessions, tmp_path: Path
) -> None:
    remote = ArtifactStore(settings.changed(artifacts=f"memory://{tmp_path.name}"))
    key = publish(remote, tmp_path, "adapters", "a")
    assert remote.children("adapters") == [key]
    assert garbage.collect(remote, sessions, grace_seconds=GRACE) == []
    assert garbage.collect(remote, sessions, grace_seconds=0.0) == [key]
    assert not remote.holds(key)
