"""What workers and keepers say when their settings are wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", [("workers", "gpu"), ("workers.keeper",)])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ACADEMY_LAUNCHER", "podman"),
        ("ACADEMY_LOG_LEVEL", "loud"),
        ("ENABLE_ACADEMY", "maybe"),
        ("ACADEMY_REDIS_URL", "http://…"),
        ("ACADEMY_REDIS_URL", "unix:///redis.sock"),
        ("ACADEMY_REDIS_URL", ""),
        ("ACADEMY_ARTIFACTS", "bogus://x"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line_of_the_log(
    module: tuple[str, ...], variable: str, value: str, tmp_path: Path
) -> None:
    # The working directory does not matter, and no server is asked.
    environ = {
        **os.environ,
        "ACADEMY_HOME": str(tmp_path / "home"),
        "ACADEMY_REDIS_URL": "redis://127.0.0.1:1/0",
        variable: value,
    }
    command = [sys.executable, "-m", *module]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    (line,) = map(json.loads, done.stderr.splitlines())
    assert line["code"] == "bad_setting"
    assert line["message"].startswith(f"{variable} is {value!r}, but it must be ")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("module", [("workers", "curation"), ("workers.keeper",)])
@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:1/x", "postgresql://127.0.0.1:1/x?no=1"])
def test_a_database_that_cannot_be_used_is_said_in_one_line_of_the_log(
    module: tuple[str, ...], url: str, tmp_path: Path
) -> None:
    environ = {
        **os.environ,
        "ACADEMY_HOME": str(tmp_path / "home"),
        "ACADEMY_DATABASE_URL": url,
        "ACADEMY_REDIS_URL": "redis://127.0.0.1:1/0",
    }
    command = [sys.executable, "-m", *module]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    (line,) = map(json.loads, done.stderr.splitlines())
    assert line["code"] == "store_unavailable"
    assert line["message"].startswith("PostgreSQL cannot be used: ")


def test_an_api_without_redis_says_so(tmp_path: Path) -> None:
    environ = {**os.environ, "ACADEMY_HOME": str(tmp_path / "home"), "ACADEMY_REDIS_URL": ""}
    command = [sys.executable, "-m", "academy.api"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("academy api: ACADEMY_REDIS_URL is '', but it must be ")
    assert len(done.stderr.splitlines()) == 1
