"""`academy logs` tells all that a job said; Ctrl-C ends watching it and says that it goes on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from academy.client import ApiError
from academy.errors import NotFound
from academy.events.sender import EventSender
from academy.events.writer import EventWriter
from academy.lifecycle import Status
from academy.settings import Settings
from academy.store.engine import Sessions
from tests.waiting import until

Run = Callable[..., str]
Start = Callable[..., subprocess.Popen[bytes]]

#: A local time with its zone, as each line begins with one.
MOMENT = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+  ")
MORNING = "2026-12-01T00:37:05.000Z"


@pytest.fixture
def events(settings: Settings, sessions: Sessions, job_id: str) -> Iterator[EventWriter]:
    """Writes as the first attempt at the job."""
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as made:
        yield made


def bar(percent: int) -> str:
    return f"Loading weights: {percent:3d}%|{'█' * (percent // 10):10}| {percent}/100 [00:01<00:00]"


def emit_training(events: EventWriter) -> None:
    """What a training of two steps says, up to its evaluation."""
    events.emit("status", status=Status.PREPARING, attempt=1, worker="w-1", timestamp=MORNING)
    events.emit("log", level="info", message="156 training rows")
    for percent in range(0, 101, 10):
        events.emit("log", level="noise", message=bar(percent))
    events.emit("stage", stage="training", message="2 steps on 156 rows")
    for step in (1, 2):
        events.emit("metrics", step=step, total_steps=2, loss=4 - step / 10, learning_rate=2e-4)
    events.emit("checkpoint", step=2, digest="sha256:0af8")
    events.emit("evaluation", name="adapter", step=2, rows=44, loss=3.67366)


def until_all_is_there(run: Run, job_id: str, events: EventWriter) -> None:
    last = f"1-{events.last_seq}"

    def is_there() -> bool:
        found = json.loads(run("logs", job_id, "--json"))["events"]
        return bool(found) and found[-1]["id"] == last

    until(is_there, 30, f"the event {last}")


def test_a_job_that_goes_on_is_told_up_to_now(run: Run, job_id: str, events: EventWriter) -> None:
    assert run("logs", job_id) == ""
    emit_training(events)
    until_all_is_there(run, job_id, events)
    lines = [MOMENT.sub("", each) for each in run("logs", job_id).splitlines()]
    assert lines == [
        "== preparing, attempt 1 by w-1",
        "156 training rows",
        bar(100),
        "── training: 2 steps on 156 rows",
        "step 1/2 · loss 3.900 · learning rate 2.0e-04",
        "step 2/2 · loss 3.800 · learning rate 2.0e-04",
        "checkpoint at step 2 sha256:0af8",
        "held-out loss of the adapter at step 2: 3.6737 over 44 rows",
    ]
    assert run("logs", job_id, "-q", "STEP 2").splitlines()[0].endswith("learning rate 2.0e-04")
    assert run("logs", job_id, "--limit", "2").count("\n") == 2
    assert "156" not in run("logs", job_id, "--after", "1-14")
    assert run("logs", job_id, "--after", f"1-{events.last_seq}") == ""
    raw = json.loads(run("logs", job_id, "--json", "--limit", "3"))
    assert raw["count"] == 3 and [each["type"] for each in raw["events"]] == [
        "metrics",
        "checkpoint",
        "evaluation",
    ]
    assert raw["events"][0]["timestamp"].endswith("Z")
    with pytest.raises(NotFound, match="no event '1-x'"):
        run("logs", job_id, "--after", "1-x")
    with pytest.raises(ApiError, match="no job 'nobody'"):
        run("logs", "nobody")


def test_times_are_local_with_their_zone(
    run: Run, job_id: str, events: EventWriter, command: Start
) -> None:
    events.emit("log", level="info", message="hello", timestamp=MORNING)
    until_all_is_there(run, job_id, events)
    said, _ = command("logs", job_id).communicate(timeout=60)
    assert said.decode() == "2026-12-01 01:37:05 CET  hello\n"


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """A command hears Ctrl-C, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_says_that_the_job_goes_on_and_how_to_cancel_it(
    job_id: str, events: EventWriter, command: Start, run: Run, as_json: bool
) -> None:
    emit_training(events)
    process = command("logs", "-f", job_id, *(["--json"] if as_json else []))
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        if b"evaluation" in line or b"held-out loss" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    if as_json:
        problem = json.loads(said)
        told = problem["detail"], problem["next_step"]
        assert problem["code"] == "interrupted"
    else:
        told = tuple(said.decode().splitlines())
    assert told[0].endswith(f"The job {job_id} goes on; only watching it has ended.")
    assert f"`academy cancel {job_id}`" in told[1]
    assert "cancelled" in run("cancel", job_id)


def test_ctrl_c_while_a_training_is_followed_says_the_same(
    dataset: str, command: Start, run: Run
) -> None:
    process = command("train", "-f")
    assert process.stdout is not None
    job_id = process.stdout.readline().decode().strip()
    assert job_id.startswith("training_")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"`academy cancel {job_id}`" in said.decode()
    assert json.loads(run("jobs", "--json"))["jobs"][0]["status"] == "queued"


def test_ctrl_c_while_a_dataset_is_waited_for_names_its_job(command: Start, run: Run) -> None:
    process = command("dataset", "--git-commits-limit", "0")

    def queued() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(run("jobs", "--json"))["jobs"]
        return found

    until(queued, 30, "the curation is queued")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "academy cancel" in said.decode()


def test_at_a_terminal_a_spinner_turns_until_the_first_step(
    job_id: str, events: EventWriter, at_terminal: Any
) -> None:
    terminal = at_terminal("logs", "-f", job_id, columns=100)
    terminal.until("⠋ waiting for a worker")
    events.emit("status", status=Status.PREPARING, attempt=1, worker="w-1", timestamp=MORNING)
    terminal.until(" preparing, attempt 1 by w-1\r")
    assert "2026-12-01 01:37:05 CET  == preparing, attempt 1 by w-1\n" in terminal.text
    events.emit("log", level="noise", message=bar(30))
    terminal.until(bar(30))
    events.emit("log", level="noise", message=bar(70))
    terminal.until(bar(70))
    events.emit("metrics", step=1, total_steps=2, progress=0.5, loss=3.9)
    terminal.until(" 50%")
    events.emit("status", status=Status.FINISHED)
    assert terminal.end() == 0
    shown = terminal.text.partition(" 50%")[2]
    assert not set("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏") & set(shown), "the spinner turns on"
    assert "== finished" in shown
    told = re.findall(r"CET  (Loading weights: .*)\n", terminal.text)
    assert told == [bar(70)], "it is one line at the end, and before that drawn over"


def test_elsewhere_nothing_turns_and_bars_are_one_line_each(
    job_id: str, events: EventWriter, command: Start
) -> None:
    process = command("logs", "-f", job_id)
    emit_training(events)
    events.emit("status", status=Status.FINISHED)
    said, wrong = process.communicate(timeout=60)
    assert (process.returncode, wrong) == (0, b"")
    text = said.decode()
    assert text.count("Loading weights") == 1 and bar(100) in text
    assert "\x1b" not in text and "⠋" not in text and "\r" not in text


def test_followed_as_json_each_event_is_a_line_and_a_failure_exits_with_1(
    job_id: str, events: EventWriter, command: Start
) -> None:
    process = command("logs", "-f", job_id, "--json")
    emit_training(events)
    failure = {"code": "out_of_memory", "message": "No memory.", "next_step": "Use less."}
    events.emit("status", status=Status.FAILED, failure=failure)
    said, wrong = process.communicate(timeout=60)
    assert (process.returncode, wrong) == (1, b"")
    found = [json.loads(line) for line in said.splitlines()]
    assert [each["id"] for each in found] == [f"1-{n}" for n in range(1, events.last_seq + 1)]
    assert found[-1]["failure"] == failure


def test_a_training_followed_as_json_is_its_answer_and_its_events(
    settings: Settings, sessions: Sessions, dataset: str, command: Start
) -> None:
    process = command("train", "-f", "--json")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    with EventSender(settings, sessions) as sender, sender.open(first["job_id"], 1) as events:
        events.emit("status", status=Status.CANCELLED)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert [json.loads(line)["status"] for line in said.splitlines()] == ["cancelled"]
