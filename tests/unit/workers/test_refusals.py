"""What workers and keepers say when their settings are wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.warm.python import WarmProcess, WarmPython

#: What starting a process from `ACADEMY_*` variables gives: its status, and its log.
Refuse = Callable[[tuple[str, ...], Mapping[str, str]], tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def refuse(warm_workers: WarmPython, tmp_path: Path) -> Refuse:
    """Starts a worker or a keeper, which is to end by itself; its home is ``home``."""

    def refuse(
        words: tuple[str, ...], variables: Mapping[str, str]
    ) -> tuple[int, list[dict[str, Any]]]:
        home = {"ACADEMY_HOME": str(tmp_path / "home")}
        process = warm_workers.start(
            *words, env={**os.environ, **home, **variables}, stderr=subprocess.PIPE
        )
        lines = [json.loads(line) for line in _said(process)]
        return process.wait(timeout=60), lines

    return refuse


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
    module: tuple[str, ...], variable: str, value: str, refuse: Refuse, tmp_path: Path
) -> None:
    # No server is asked.
    variables = {"ACADEMY_REDIS_URL": "redis://127.0.0.1:1/0", variable: value}
    status, (line,) = refuse(module, variables)
    assert (status, line["code"]) == (1, "bad_setting")
    assert line["message"].startswith(f"{variable} is {value!r}, but it must be ")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("module", [("workers", "curation"), ("workers.keeper",)])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://127.0.0.1:1/x", ["Connection refused"]),
        ("postgresql://127.0.0.1:1/x?no=1", ["invalid connection option"]),
        (
            "postgresql:///x?host=127.0.0.1:1&host=127.0.0.1:2",
            ["port 1 failed: Connection refused", "port 2 failed: Connection refused"],
        ),
    ],
)
def test_a_database_that_cannot_be_used_is_said_in_one_line_of_the_log(
    module: tuple[str, ...], url: str, said: list[str], refuse: Refuse
) -> None:
    variables = {"ACADEMY_DATABASE_URL": url, "ACADEMY_REDIS_URL": "redis://127.0.0.1:1/0"}
    status, (line,) = refuse(module, variables)
    assert (status, line["code"]) == (1, "store_unavailable")
    assert line["message"].startswith("PostgreSQL cannot be used: ")
    assert "ACADEMY_DATABASE_URL" in line["message"] and "Is the server" not in line["message"]
    assert all(each in line["message"] for each in said), line["message"]


def test_a_cold_start_refuses_as_a_warm_one_does(tmp_path: Path) -> None:
    environ = {**os.environ, "ACADEMY_HOME": str(tmp_path / "home"), "ACADEMY_REDIS_URL": "no"}
    command = [sys.executable, "-m", "workers", "gpu"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, line["code"]) == (1, "bad_setting")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ACADEMY_REDIS_URL": ""}, "ACADEMY_REDIS_URL is '', but it must be "),
        (
            {
                "ACADEMY_REDIS_URL": "redis://127.0.0.1:1/0",
                "ACADEMY_DATABASE_URL": "postgresql://127.0.0.1:1/x",
            },
            "PostgreSQL cannot be used: ",
        ),
    ],
)
def test_an_api_without_a_server_says_so(
    variables: Mapping[str, str], said: str, warm_apis: WarmPython, tmp_path: Path
) -> None:
    environ = {**os.environ, "ACADEMY_HOME": str(tmp_path / "home"), **variables}
    process = warm_apis.start("academy.api", env=environ, stderr=subprocess.PIPE)
    (line,) = _said(process)
    assert process.wait(timeout=60) == 1
    assert line.startswith(f"academy api: {said}")


def _said(process: WarmProcess) -> list[str]:
    """The lines that a process writes until it ends."""
    assert process.stderr is not None
    with process.stderr as stream:
        return stream.read().decode().splitlines()
