"""``run.json`` says which stack runs, and is not believed when its stack is dead."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from academy.embedded.runfile import (
    Run,
    RunUnknown,
    home_lock,
    remove_run,
    request_stop,
    running,
    started_at,
    write_run,
)
from academy.host.filelock import FileLock, is_held


def a_run(**changes: object) -> Run:
    started = started_at(os.getpid())
    assert started is not None
    fields = {"pid": os.getpid(), "started": started, "state": "ready", "url": "http://x"}
    return Run(**{**fields, "host": "h", "port": 1, "ports": {"a": 2}, **changes})  # type: ignore[arg-type]


def test_a_run_is_read_back_while_its_lock_is_held(tmp_path: Path) -> None:
    lock = home_lock(tmp_path)
    assert lock.acquire()
    write_run(tmp_path, a_run())
    assert running(tmp_path) == a_run()
    lock.release()
    assert running(tmp_path) is None


def test_a_process_id_that_was_given_to_another_process_is_noticed(tmp_path: Path) -> None:
    lock = home_lock(tmp_path)
    lock.acquire()
    write_run(tmp_path, a_run(started=12345.0))
    assert running(tmp_path) is None
    with pytest.raises(RunUnknown, match="missing or damaged"):
        request_stop(tmp_path)  # and nobody is shot by mistake
    lock.release()
    assert request_stop(tmp_path) is None


def test_a_damaged_or_foreign_file_is_no_run(tmp_path: Path) -> None:
    lock = home_lock(tmp_path)
    lock.acquire()
    whole = dataclasses.asdict(a_run())
    damaged = [
        {"pid": 1, "unknown": 2},
        whole | {"pid": "x"},
        whole | {"pid": -1},
        whole | {"started": None},
        whole | {"ports": []},
        whole | {"ports": {"a": "b"}},
        whole | {"children": 7},
        whole | {"restarts": [{}]},
        whole | {"restarts": {"name": 1}},
    ]
    for text in ("", "{", "[]", *map(json.dumps, damaged)):
        (tmp_path / "run.json").write_text(text)
        assert running(tmp_path) is None, text
    remove_run(tmp_path)
    (tmp_path / "run.json").mkdir()
    assert running(tmp_path) is None
    (tmp_path / "run.json").rmdir()
    remove_run(tmp_path)
    lock.release()


def test_a_lock_ends_with_its_holder_however_it_dies(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, signal; from pathlib import Path; from academy.host.filelock import FileLock;"
        "lock = FileLock(Path(sys.argv[1])); print(lock.acquire(), flush=True); signal.pause()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    assert is_held(path)
    assert not FileLock(path).acquire()
    holder.send_signal(signal.SIGKILL)
    holder.wait(timeout=10)
    holder.stdout.close()
    assert not is_held(path)
    ours = FileLock(path)
    assert ours.acquire()
    ours.release()
