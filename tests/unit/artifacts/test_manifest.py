"""A folder with a valid manifest is whole, and its digest speaks for its content alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from academy.artifacts.manifest import ManifestMissing, verify_manifest, write_manifest
from academy.errors import DigestMismatch


def a_folder(path: Path, text: str = "hello") -> Path:
    (path / "inner").mkdir(parents=True)
    (path / "a.txt").write_text(text)
    (path / "inner" / "b.bin").write_bytes(b"\0\1")
    return path


def test_equal_content_in_two_places_has_one_digest(tmp_path: Path) -> None:
    first, second = a_folder(tmp_path / "x"), a_folder(tmp_path / "y")
    assert write_manifest(first) == write_manifest(second)
    assert verify_manifest(first) == verify_manifest(second)


def test_a_changed_added_or_missing_file_is_noticed(tmp_path: Path) -> None:
    for change in ("change", "add", "remove"):
        folder = a_folder(tmp_path / change)
        write_manifest(folder)
        if change == "change":
            (folder / "a.txt").write_text("jello")
        elif change == "add":
            (folder / "c.txt").write_text("")
        else:
            (folder / "a.txt").unlink()
        with pytest.raises(DigestMismatch, match="was recorded"):
            verify_manifest(folder)


def test_another_digest_than_the_expected_one_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "x")
    write_manifest(folder)
    with pytest.raises(DigestMismatch):
        verify_manifest(folder, expected="sha256:" + "0" * 64)


def test_a_folder_without_a_manifest_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(ManifestMissing, match="incomplete"):
        verify_manifest(a_folder(tmp_path / "x"))
