"""Sides that run in turns, each in a fresh process of the benchmark's own script."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def in_turns(
    script: str, sides: Iterable[str], folder: Path, *, rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """The median of each number that a side measured over the rounds.

    Each is ``python SCRIPT --side=SIDE --folder=FOLDER``, whose last line is its numbers, and which
    is ended after `seconds`. A side that fails ends the benchmark with what it said.
    """
    taken: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, results in taken.items():
            results.append(_run_side(script, side, folder, seconds))
            print(f"  {side}: {results[-1]}", file=sys.stderr)
    return {side: _median(results) for side, results in taken.items()}


def _run_side(script: str, side: str, folder: Path, seconds: float) -> dict[str, Any]:
    """One side; what it measured and its wall-clock time."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, script, f"--side={side}", f"--folder={folder}"],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured | {"wall_seconds": round(time.monotonic() - started, 1)}


def _median(results: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: statistics.median(each[name] for each in results) for name in results[0]}
