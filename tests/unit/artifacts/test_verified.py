"""A folder that was verified once is verified again as soon as its files are different ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from academy.artifacts.manifest import write_manifest
from academy.artifacts.store import ArtifactStore
from academy.artifacts.verified import VerifiedFolders
from academy.errors import DigestMismatch
from academy.settings import Settings


def test_each_change_after_the_first_verification_is_found(tmp_path: Path) -> None:
    store = ArtifactStore(Settings().changed(home=tmp_path / "home"))
    made = tmp_path / "made"
    made.mkdir()
    (made / "rows.jsonl").write_text("one\n")
    digest = write_manifest(made)
    key = store.publish(made, "datasets")
    folders = VerifiedFolders(store)
    folder = folders.fetch(key, digest)
    path = folder / "rows.jsonl"
    assert folders.fetch(key, digest) == folder
    path.unlink()
    path.write_text("two\n")
    with pytest.raises(DigestMismatch):
        folders.fetch(key, digest)
    with pytest.raises(DigestMismatch):
        folders.fetch(key, digest)
    path.write_text("one\n")
    assert folders.fetch(key, digest) == folder
    (folder / "more.jsonl").write_text("x")
    with pytest.raises(DigestMismatch):
        folders.fetch(key, digest)
