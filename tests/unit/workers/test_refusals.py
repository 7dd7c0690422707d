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
        ("ACADEMY_ARTIFACTS", "bogus://x"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line_of_the_log(
    module: tuple[str, ...], variable: str, value: str, tmp_path: Path
) -> None:
    # The working directory does not matter, and no server is asked.
    environ = {**os.environ, "ACADEMY_HOME": str(tmp_path / "home"), variable: value}
    command = [sys.executable, "-m", *module]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    (line,) = map(json.loads, done.stderr.splitlines())
    assert line["code"] == "bad_setting"
    assert line["message"].startswith(f"{variable} is {value!r}, but it must be ")
    assert not (tmp_path / "home").exists()
