"""An error at the terminal is one sentence, the way out, and exit status 1."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Academy


def test_a_bad_setting_names_the_variable_its_value_and_the_range(academy: Academy) -> None:
    done = academy("jobs", ACADEMY_PORT="high")
    assert done.returncode == 1
    assert "ACADEMY_PORT is 'high', but it must be a whole number." in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_key_the_command_says_where_it_looked(academy: Academy, tmp_path: Path) -> None:
    done = academy("jobs")
    assert done.returncode == 1
    assert str(tmp_path / "admin.key") in done.stderr


def test_a_server_that_does_not_answer_is_named_with_the_cause(
    academy: Academy, free_port: int
) -> None:
    url = f"http://127.0.0.1:{free_port}"
    done = academy("jobs", ACADEMY_URL=url, ACADEMY_API_KEY="k")
    assert done.returncode == 1
    assert f"{url} cannot be reached" in done.stderr and "refused" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("key", ["aca_se\ncret", "aca_secretü", "aca_se cret", "aca_secret\udcff"])
def test_a_key_that_cannot_be_sent_is_told_by_its_variable_and_not_shown(
    academy: Academy, key: str
) -> None:
    done = academy("--debug", "kinds", ACADEMY_URL="http://127.0.0.1:9", ACADEMY_API_KEY=key)
    assert done.returncode == 1
    assert "academy: The API key of ACADEMY_API_KEY cannot be sent: character" in done.stderr
    assert "aca_" not in done.stdout + done.stderr and "cret" not in done.stdout + done.stderr


@pytest.mark.parametrize("key", [b"", b"aca_se\ncret", b"aca_secret\xff"])
def test_a_key_that_cannot_be_sent_is_told_by_its_file_and_not_shown(
    academy: Academy, tmp_path: Path, key: bytes
) -> None:
    path = tmp_path / "admin.key"
    path.write_bytes(key)
    done = academy("kinds", ACADEMY_URL="http://127.0.0.1:9", ACADEMY_API_KEY="")
    assert f"academy: The API key of {path} cannot be sent: " in done.stderr
    assert done.returncode == 1 and "cret" not in done.stderr


@pytest.mark.parametrize(
    "url", ["http://[::1", "nonsense", "http://a b", "ftp://x", "http://\udcff"]
)
def test_an_address_that_cannot_be_used_is_told_by_its_variable_and_value(
    academy: Academy, url: str
) -> None:
    done = academy("kinds", ACADEMY_URL=url, ACADEMY_API_KEY="k")
    assert done.returncode == 1
    assert f"academy: ACADEMY_URL is {url!r}, which is no address of an API: " in done.stderr
    assert "Write it like http://" in done.stderr and "Traceback" not in done.stderr


def test_debug_adds_the_traceback(academy: Academy, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    assert "Traceback" in academy("--debug", "jobs", ACADEMY_URL=url, ACADEMY_API_KEY="k").stderr
    by_level = academy("jobs", ACADEMY_URL=url, ACADEMY_API_KEY="k", ACADEMY_LOG_LEVEL="debug")
    assert "Traceback" in by_level.stderr


def test_migrate_without_a_database_says_how_to_get_one(academy: Academy) -> None:
    done = academy("migrate")
    assert done.returncode == 1
    assert "ACADEMY_DATABASE_URL is not set" in done.stderr and "`academy up`" in done.stderr


def test_down_where_nothing_runs_says_so_and_succeeds(academy: Academy, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    done = academy("down")
    assert done.returncode == 0
    assert done.stdout == f"Nothing runs in {tmp_path}.\n"


@pytest.mark.parametrize(
    "command", [["up"], ["api"], ["keeper"], ["worker", "--queue", "gpu"], ["runtime"]]
)
def test_nothing_starts_where_academy_is_switched_off(
    academy: Academy, tmp_path: Path, command: list[str]
) -> None:
    done = academy(*command, ENABLE_ACADEMY="False")
    assert done.returncode == 1
    assert "Academy is switched off" in done.stderr and "ENABLE_ACADEMY" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("warm", "words"),
    [
        ("warm_apis", ["academy.api"]),
        ("warm_workers", ["workers.keeper"]),
        ("warm_workers", ["workers", "gpu"]),
        ("warm_workers", ["workers", "curation"]),
    ],
)
def test_no_process_runs_where_academy_is_switched_off(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    warm: str,
    words: list[str],
    database_url: str,
    valkey_url: str,
) -> None:
    given = {
        "ACADEMY_HOME": str(tmp_path),
        "ACADEMY_DATABASE_URL": database_url,
        "ACADEMY_REDIS_URL": valkey_url,
        "ENABLE_ACADEMY": "off",
    }
    done = request.getfixturevalue(warm).run(*words, env={**os.environ, **given})
    assert done.returncode == 1
    assert "Academy is switched off" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "admin.key").exists()


def test_a_command_line_that_cannot_be_read_is_told_in_two_lines_with_its_path_whole(
    academy: Academy, tmp_path: Path
) -> None:
    path = tmp_path / ("x" * 90 + ".jsonl")
    done = academy("lessons", "import", str(path), COLUMNS="40")
    said, next_step = done.stderr.splitlines()
    assert done.returncode == 2 and said.startswith("academy: ") and str(path) in said
    assert next_step == "Run `academy lessons import --help` for what it takes."


def test_without_a_command_there_is_help_and_status_2(academy: Academy) -> None:
    done = academy()
    assert (done.returncode, done.stderr) == (2, "")
    assert "Usage: academy" in done.stdout


@pytest.mark.parametrize(
    ("out", "why"),
    [("nowhere/rows.jsonl", "nowhere: No such directory"), ("there", "there: Is a directory")],
)
def test_a_file_that_cannot_be_written_is_named_before_anything_is_asked(
    academy: Academy, tmp_path: Path, out: str, why: str
) -> None:
    (tmp_path / "there").mkdir()
    done = academy("dataset", "download", "d", "-o", str(tmp_path / out), ACADEMY_API_KEY="k")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == f"academy: {tmp_path}/{why}."
    assert "Name a file or folder that is there" in second


def test_a_file_that_the_system_refuses_is_told_as_json(academy: Academy, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300)
    words = ("dataset", "download", "d", "--json", "-o", str(long))
    done = academy(*words, ACADEMY_URL="http://127.0.0.1:9", ACADEMY_API_KEY="k")
    problem = json.loads(done.stderr)
    assert (done.returncode, problem["code"]) == (1, "file_unusable")
    assert "File name too long" in problem["detail"]
