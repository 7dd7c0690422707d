"""Resolve the ranges of pyproject.toml into the exact versions of requirements*.txt.

The files are made from fresh virtual environments, so they hold what really installs together.
torch is pinned without its local version: every platform takes its own build of it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADERS = {
    "requirements.txt": ("", "everything for the API, CPU training and the embedded runtime"),
    "requirements-dev.txt": ("[dev]", "requirements.txt, and what the tests need"),
    "requirements-bench.txt": (
        "[dev,bench]",
        "requirements-dev.txt, and the peers that the benchmarks run beside",
    ),
}


def main() -> None:
    for name, (extra, purpose) in HEADERS.items():
        with tempfile.TemporaryDirectory() as folder:
            python = f"{folder}/bin/python"
            _run(sys.executable, "-m", "venv", folder)
            _run(python, "-m", "pip", "install", "--quiet", "torch==2.13.0")
            _run(python, "-m", "pip", "install", "--quiet", f"{ROOT}{extra}")
            # With --all, as torch needs setuptools, which pip leaves out otherwise.
            leave_out = ("--exclude", "academy", "--exclude", "pip", "--exclude", "wheel")
            frozen = _run(python, "-m", "pip", "freeze", "--all", *leave_out).splitlines()
        lines = [re.sub(r"\+[a-z0-9.]+$", "", line) for line in frozen if "==" in line]
        text = f"# {purpose[0].upper()}{purpose[1:]}. Made by `make lock`; do not edit.\n"
        (ROOT / name).write_text(text + "\n".join(lines) + "\n")
        sys.stderr.write(f"{name}: {len(lines)} packages\n")


def _run(*command: str) -> str:
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, timeout=1800
    ).stdout


if __name__ == "__main__":
    main()
