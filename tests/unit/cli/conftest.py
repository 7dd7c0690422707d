"""What several tests of the command line need."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.warm.python import WarmPython

Academy = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def academy(warm_commands: WarmPython, tmp_path: Path) -> Academy:
    """Runs the command as a process, with a home that has nothing in it."""

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "ACADEMY_HOME": str(tmp_path), **environ}
        return warm_commands.run("academy.cli", *arguments, env=env)

    return run


@pytest.fixture
def local_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the zone of this process, until the test is over."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()
