"""Disks that are full or refuse: mounts of the test's own. They need root, as CI has it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.stack import Stack


@dataclass(frozen=True)
class Disk:
    """A mounted disk of limited size."""

    path: Path

    def grow(self, size: str) -> None:
        """Make it larger; ``size`` is tmpfs(5)'s, such as ``64m``."""
        _run("mount", "-o", f"remount,size={size}", str(self.path))


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[Disk]:
    """The folder lies on a disk of its own with so many bytes, in which nothing is yet."""
    _require_root()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "academy-faults", str(path))
    try:
        yield Disk(path)
    finally:
        _run("umount", "--lazy", str(path))


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Nobody, root included, can write below the folder."""
    _require_root()
    _run("mount", "--bind", str(path), str(path))
    try:
        _run("mount", "-o", "remount,ro,bind", str(path))
        yield
    finally:
        _run("umount", "--lazy", str(path))


def nothing_half_published(stack: Stack) -> None:
    """Assert that the artifact store has whole folders only."""
    artifacts = stack.home / "artifacts"
    for folder in (*artifacts.glob("adapters/*"), *artifacts.glob("checkpoints/*/*")):
        assert not folder.name.startswith("."), f"{folder} was left half published"
        assert (folder / "manifest.json").exists(), f"{folder} has no manifest"


def _require_root() -> None:
    if os.geteuid() != 0:
        # Not a skip: a harness that left out a fault would say that all of them held.
        pytest.fail("mounting a full disk needs root; run the harness in a container")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
