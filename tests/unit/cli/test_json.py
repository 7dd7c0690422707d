"""Every command takes --json; with it errors are problems in JSON, and exit statuses stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from academy.cli.failures import StoppedWaiting, StoppedWatching, wants_json, watching
from tests.commands import can_run, every_command
from tests.unit.cli.conftest import Academy


def test_every_command_takes_json() -> None:
    found = [(name, each) for name, each in every_command() if can_run(each)]
    assert {"up", "logs", "dataset", "dataset list", "keys revoke"} <= {name for name, _ in found}
    without = [name for name, each in found if not any("--json" in p.opts for p in each.params)]
    assert without == []


@pytest.mark.parametrize(
    "words",
    [
        ["jobs"],
        ["cancel", "x"],
        ["logs", "-f", "x"],
        ["train"],
        ["dataset"],
        ["dataset", "card", "x"],
        ["lessons", "add", "--situation", "a", "--solution", "b"],
        ["adapters"],
        ["chat", "hello"],
        ["keys", "list"],
        ["schedules", "show", "x"],
        ["sweep", "list"],
        ["status"],
    ],
)
def test_a_server_that_does_not_answer_is_a_problem(
    academy: Academy, free_port: int, words: list[str]
) -> None:
    # A stream is tried again for minutes; where the key is refused nothing is tried at all.
    key = "a b" if "-f" in words else "k"
    url = f"http://127.0.0.1:{free_port}"
    done = academy(*words, "--json", ACADEMY_URL=url, ACADEMY_API_KEY=key)
    problem = json.loads(done.stderr)
    assert (done.returncode, done.stdout) == (1, "")
    assert problem["code"] == ("bad_setting" if "-f" in words else "unavailable")
    assert problem["type"] == f"urn:academy:problem:{problem['code']}"
    assert problem["title"] and problem["next_step"]
    assert ("ACADEMY_API_KEY" if "-f" in words else url) in problem["detail"]


@pytest.mark.parametrize(
    ("words", "detail", "command"),
    [
        (["logs"], "JOB", "academy logs"),
        (["train", "--folow"], "--folow", "academy train"),
        (["jobs", "--limit", "0"], "--limit", "academy jobs"),
        (["trian"], "trian", "academy"),
        (["shares", "role:x"], "--weight", "academy shares"),
        (["dataset", "download", "x"], "--out", "academy dataset download"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_a_problem_with_status_2(
    academy: Academy, words: list[str], detail: str, command: str
) -> None:
    done = academy(*words, "--json", ACADEMY_URL="http://127.0.0.1:9", ACADEMY_API_KEY="k")
    problem = json.loads(done.stderr)
    assert (done.returncode, done.stdout, problem["code"]) == (2, "", "usage")
    assert detail in problem["detail"]
    assert f"`{command} --help`" in problem["next_step"]


@pytest.mark.parametrize("words", [["up"], ["api"], ["keeper"], ["worker", "--queue", "gpu"]])
def test_a_process_that_cannot_start_tells_a_problem(academy: Academy, words: list[str]) -> None:
    done = academy(*words, "--json", ENABLE_ACADEMY="false")
    assert done.returncode == 1
    assert json.loads(done.stderr)["code"] == "switched_off"


def test_debug_adds_the_traceback_to_the_problem(academy: Academy) -> None:
    done = academy("--debug", "jobs", "--json")
    problem = json.loads(done.stderr)
    assert problem["code"] == "no_key" and "NoKey" in problem["traceback"]


def test_down_says_whether_it_stopped_something(academy: Academy, tmp_path: Path) -> None:
    done = academy("down", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"home": str(tmp_path), "stopped": False, "pid": None}


def test_migrate_says_what_it_came_to(
    academy: Academy, empty_database_url: str, tmp_path: Path
) -> None:
    done = academy("migrate", "--json", ACADEMY_DATABASE_URL=empty_database_url)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["revision"] and Path(said["admin_key"]) == tmp_path / "admin.key"


def test_json_is_an_option_only_before_two_dashes() -> None:
    assert wants_json(["chat", "--json", "--", "x"])
    assert not wants_json(["chat", "--", "--json"])


def test_who_stops_watching_is_told_what_goes_on() -> None:
    with pytest.raises(StoppedWatching) as watched, watching("job_1"):
        raise KeyboardInterrupt
    assert str(watched.value) == "The job job_1 goes on; only watching it has ended."
    assert "`academy cancel job_1`" in watched.value.next_step
    with pytest.raises(StoppedWatching, match="job_2"), watching() as job:
        job.is_queued("job_2")
        raise KeyboardInterrupt
    with pytest.raises(StoppedWaiting) as waited, watching():
        raise KeyboardInterrupt
    assert "`academy jobs`" in waited.value.next_step
