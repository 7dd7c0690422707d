"""A warm program is to its test what one that `spawn` starts would be."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from academy.host.processes import end_group, spawn, wait_until_gone
from tests.warm.python import WarmPython

_PROGRAM = """
import json, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[1])))
print("a complaint", file=sys.stderr)
print(json.dumps([os.getpid(), sys.argv[2:], os.environ["WORD"], sys.stdin.readline()]), flush=True)
while True:
    signal.pause()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("programs")
    (made / "program.py").write_text(_PROGRAM)
    (made / "refusing.py").write_text("raise SystemExit('a reason')")
    (made / "broken.py").write_text("raise KeyError('a fault')")
    return made


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    with WarmPython(tmp_path_factory.mktemp("warm"), ["json"]) as made:
        yield made


def by_start(warm: WarmPython, folder: Path, *words: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    env = {**os.environ, "WORD": "a word"}
    return warm.start(*words, env=env, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe)


def by_executable(warm: WarmPython, folder: Path, *words: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    command = [str(warm.executable), "-m", *words]
    env = {**os.environ, "WORD": "a word"}
    return spawn(command, env=env, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe)


ways = pytest.mark.parametrize("start", [by_start, by_executable])


@ways
def test_it_gets_what_it_was_started_with_and_its_status_comes_back(warm, folder, start) -> None:
    with start(warm, folder, "program", "7", "an argument") as process:
        process.stdin.write(b"a line\n")
        process.stdin.flush()
        said = process.stdout.readline().decode()
        assert said.partition(", ")[2] == '["an argument"], "a word", "a line\\n"]\n'
        assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=20) == 7
        assert process.stdout.read() == b""
        assert process.stderr.read() == b"a complaint\n"


@ways
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_signal_that_ends_it_is_its_status(warm, folder, start, number) -> None:
    with start(warm, folder, "program", "0") as process:
        process.stdin.write(b"\n")
        process.stdin.flush()
        program = int(process.stdout.readline()[1:].partition(b",")[0])
        process.send_signal(number)
        assert process.wait(timeout=20) == -number
        assert wait_until_gone(program, timeout_seconds=20)


@ways
def test_why_it_could_not_go_on_is_said_where_python_says_it(warm, folder, start) -> None:
    for module, last_line in (("refusing", b"a reason"), ("broken", b"KeyError: 'a fault'")):
        with start(warm, folder, module) as process:
            assert process.wait(timeout=20) == 1
            assert process.stderr.read().splitlines()[-1] == last_line


def test_a_started_one_has_its_own_id_and_group_and_can_be_frozen(warm, folder) -> None:
    with by_start(warm, folder, "program", "0") as process:
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert int(process.stdout.readline()[1:].partition(b",")[0]) == process.pid
        assert os.getpgid(process.pid) == process.pid
        process.send_signal(signal.SIGSTOP)
        seen = psutil.Process(process.pid)
        while seen.status() != psutil.STATUS_STOPPED:
            pass  # the test's time-out is its end
        assert end_group(process, grace_seconds=0) == -signal.SIGKILL


def test_nothing_outlives_the_python(tmp_path: Path, folder: Path) -> None:
    with WarmPython(tmp_path, ["json"]) as warm:
        process = by_start(warm, folder, "program", "0")
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline()
    assert wait_until_gone(process.pid, timeout_seconds=20)
    assert process.wait(timeout=20) == -signal.SIGKILL
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
