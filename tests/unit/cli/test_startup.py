"""The command starts fast, because it loads only what the asked command needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "transformers",
    "flask",
    "celery",
    "kombu",
    "sqlalchemy",
    "alembic",
    "psycopg",
    "redis",
    "httpx",
    "pyarrow",
    "git",
    "docker",
    "psutil",
    "fsspec",
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "academy.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import json, sys\n"
        f"sys.argv = ['academy', *{arguments!r}]\n"
        "from academy.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert loaded.isdisjoint(HEAVY), sorted(loaded & set(HEAVY))
    assert "Usage: academy" in done.stdout


def test_importing_the_package_loads_nothing_but_itself() -> None:
    program = (
        "import sys; before = set(sys.modules); import academy;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    # An editable install adds a finder of its own; nothing else may come along.
    assert [each for each in done.stdout.split() if not each.startswith("__editable__")] == [
        "academy"
    ]


def test_the_version_is_shown() -> None:
    assert run("--version").stdout.startswith("academy ")


def test_an_unknown_command_exits_with_2_and_names_it() -> None:
    done = run("upp")
    assert done.returncode == 2
    assert "upp" in done.stderr


def test_an_unknown_flag_is_refused_by_name() -> None:
    done = run("up", "--prot", "8000")
    assert done.returncode == 2
    assert "--prot" in done.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_output_that_finds_no_room_is_an_error_and_not_silence(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "academy.cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "The output cannot be written: No space left on device." in done.stderr
    assert "--debug" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status"), [("--version", 0), ("--help", 0), ("metrics x", 1), ("upp", 2)]
)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_reason_to_fail(
    arguments: str, status: int, closed: str
) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m academy.cli {arguments} {closed}', sys.executable],
        env={**os.environ, "ACADEMY_API_KEY": "k", "ACADEMY_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
