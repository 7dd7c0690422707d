"""Children are restarted, given up, and stopped, with an end to every wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from academy.embedded import children, program
from academy.embedded.children import Change, Child, ChildFailed, Program
from academy.embedded.process_set import Interrupted, ProcessSet, StopSignals
from academy.host.processes import is_alive, wait_until_gone
from tests.waiting import until

FOREVER = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True)\nwhile True: signal.pause()"
)


def child_program(tmp_path: Path, code: str, name: str = "child", **more: object) -> Program:
    command = (sys.executable, "-c", code)
    log = tmp_path / f"{name}.log"
    return Program(name=name, command=command, env=dict(os.environ), log=log, **more)  # type: ignore[arg-type]


@pytest.fixture
def processes() -> Iterator[ProcessSet]:
    with StopSignals() as signals:
        processes = ProcessSet(lambda line: None, signals)
        yield processes
        for child in processes.children:
            child.kill()


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    child = Child(child_program(tmp_path, FOREVER))
    child.start()
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    until(lambda: child.tend() is Change.RESTARTED, 10, "it is started again")
    assert child.process is not None and child.process.pid != first
    child.kill()


def test_a_child_that_keeps_dying_is_given_up_and_its_log_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_FIRST_PAUSE_SECONDS", 0.01)
    child = Child(child_program(tmp_path, "raise SystemExit('the port is taken')"))
    child.start()
    until(lambda: child.tend() is Change.GIVEN_UP, 10, "it is given up")
    assert child.program.log.read_text().count("the port is taken") == 5
    assert child.tend() is Change.NOTHING
    with pytest.raises(ChildFailed, match=r"'child' keeps dying[\s\S]*the port is taken"):
        raise child.failure("keeps dying")


def test_a_worker_that_was_drained_stays_ended_and_ends_the_watch(
    processes: ProcessSet, tmp_path: Path
) -> None:
    processes.start([child_program(tmp_path, "", "drained", may_end=True)])
    processes.watch()  # it would not come back if the child were started again
    assert [child.ended for child in processes.children] == [True]
    failing = Child(child_program(tmp_path, "raise SystemExit(1)", "failing", may_end=True))
    failing.start()
    until(lambda: failing.tend() is Change.RESTARTED, 10, "it is started again")
    failing.kill()


def test_the_watch_ends_when_all_that_is_left_was_given_up(
    processes: ProcessSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_FIRST_PAUSE_SECONDS", 0.01)
    drained = child_program(tmp_path, "", "drained", may_end=True)
    failing = child_program(tmp_path, "raise SystemExit('no database')", "failing", may_end=True)
    processes.start([drained, failing])
    with pytest.raises(ChildFailed, match=r"'failing' keeps dying[\s\S]*no database"):
        processes.watch()
    assert [(each.ended, each.given_up) for each in processes.children] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(("health", "seconds"), [("", 45.0), ("127.0.0.1:1/healthz", 2.0)])
def test_only_a_child_that_was_never_ready_has_nothing_to_wind_up(
    tmp_path: Path, health: str, seconds: float
) -> None:
    child = Child(child_program(tmp_path, FOREVER, grace_seconds=45.0, health=health))
    assert child.grace_seconds == seconds
    child.was_ready = True
    assert child.grace_seconds == 45.0


def test_what_a_child_left_running_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', "
        f"{FOREVER!r}], stdout=subprocess.DEVNULL); print(p.pid, flush=True)"
    )
    child = Child(child_program(tmp_path, code))
    child.start()
    until(lambda: child.has_ended(), 10, "it ends")
    until(
        lambda: child.tend() is not Change.NOTHING or child.process is None, 10, "its end is seen"
    )
    grandchild = int(child.program.log.read_text().split()[0])
    assert wait_until_gone(grandchild, 10)
    child.kill()


def test_a_stop_goes_in_reverse_and_kills_what_ignores_it(
    processes: ProcessSet, tmp_path: Path
) -> None:
    programs = [
        child_program(tmp_path, FOREVER, "one"),
        child_program(tmp_path, STUBBORN, "two", grace_seconds=0.2),
    ]
    processes.start(programs)
    until(lambda: all("up" in each.log.read_text() for each in programs), 10, "all are up")
    pids = processes.pids()
    assert list(pids) == ["one", "two"]
    processes.stop()
    assert not any(is_alive(pid) for pid in pids.values())


def test_another_signal_while_stopping_cuts_the_grace(
    processes: ProcessSet, tmp_path: Path
) -> None:
    patient = child_program(tmp_path, STUBBORN, grace_seconds=60)
    processes.start([patient])
    until(lambda: "up" in patient.log.read_text(), 10, "it is up")
    impatient = subprocess.Popen(
        [sys.executable, "-c", f"import os, signal; os.kill({os.getpid()}, signal.SIGINT)"]
    )
    began = time.monotonic()
    processes.stop()
    assert time.monotonic() - began < 30
    impatient.wait(timeout=10)


def test_a_signal_during_the_start_interrupts_it(processes: ProcessSet, tmp_path: Path) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted):
        processes.start([child_program(tmp_path, FOREVER)])
    assert processes.children == []


def test_a_step_that_fails_shows_its_log(processes: ProcessSet, tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"ended with status 1[\s\S]*no such table"):
        processes.finish(child_program(tmp_path, "raise SystemExit('no such table')"), 10)


def test_a_child_is_ready_when_its_health_page_says_so(
    processes: ProcessSet, tmp_path: Path, free_port: int
) -> None:
    (tmp_path / "health").write_text("ok")
    code = (
        f"import http.server, os; os.chdir({str(tmp_path)!r}); "
        f"http.server.HTTPServer(('127.0.0.1', {free_port}), "
        "http.server.SimpleHTTPRequestHandler).serve_forever()"
    )
    processes.start([child_program(tmp_path, code, health=f"127.0.0.1:{free_port}/health")])
    assert processes.await_ready(20) == []
    (tmp_path / "health").unlink()
    assert not processes.children[0].is_ready()


def test_a_large_log_is_put_aside_while_the_child_goes_on_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_LARGEST_LOG_BYTES", 1000)
    code = "import sys\nfor line in sys.stdin: print('x' * int(line), flush=True)"
    reader, writer = os.pipe()
    log = tmp_path / "child.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=reader, stdout=output, stderr=output
        )
    os.close(reader)
    os.write(writer, b"2000\n")
    until(lambda: log.stat().st_size == 2001, 10, "it has said all")
    program.limit_log(log)
    assert log.stat().st_size == 0
    assert (tmp_path / "child.log.1").stat().st_size == 2001
    os.write(writer, b"10\n")
    until(lambda: log.stat().st_size == 11, 10, "it says more")
    os.close(writer)
    process.wait(timeout=10)
