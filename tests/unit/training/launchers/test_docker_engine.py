"""What is wrong with a Docker engine is said precisely."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from academy.settings import Settings
from academy.training.launchers import docker_engine
from academy.training.launchers.errors import DockerForbidden, DockerUnavailable

NOBODY = 65534


@contextlib.contextmanager
def without_roots_rights() -> Iterator[None]:
    """As a user to whom permissions apply; the real user stays, so that it can be undone."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the engine's socket should be."""
    with tempfile.TemporaryDirectory(prefix="docker-") as folder:  # a socket's path has to be short
        Path(folder).chmod(0o755)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
        yield Path(folder) / "docker.sock"


def test_an_engine_that_is_not_installed(door: Path) -> None:
    assert not docker_engine.has_socket()
    with pytest.raises(DockerUnavailable, match="there is no such socket") as error:
        docker_engine.connect(Settings())
    assert "DOCKER_HOST" in error.value.next_step


def test_an_engine_that_does_not_run_any_more(door: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(door))
    with pytest.raises(DockerUnavailable, match="refused"):
        docker_engine.connect(Settings())


def test_an_engine_that_is_not_for_this_user(door: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(door))
        listening.listen()
        door.chmod(0)
        with without_roots_rights(), pytest.raises(DockerForbidden) as error:
            docker_engine.connect(Settings())
    assert "usermod" in error.value.next_step


def test_an_engine_that_hangs_is_given_up_in_time(door: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(door))
        silent.listen()
        with pytest.raises(DockerUnavailable, match="timed out"):
            docker_engine.connect(Settings().changed(docker_timeout_seconds=1.0))
