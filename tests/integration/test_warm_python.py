"""A warm program is to its test what one that `spawn` starts would be."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from academy.host.processes import end_group, spawn, wait_until_gone
from tests.waiting import until
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


def by_start(warm: WarmPython, *words: str) -> Callable[..., subprocess.Popen[bytes]]:
    return partial(warm.start, *words)


def by_executable(warm: WarmPython, *words: str) -> Callable[..., subprocess.Popen[bytes]]:
    return partial(spawn, [str(warm.executable), "-m", *words])


ways = pytest.mark.parametrize("way", [by_start, by_executable])


@contextmanager
def running(
    start: Callable[..., subprocess.Popen[bytes]], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that ends with the test."""
    env = {**os.environ, "WORD": "a word"}
    pipe = subprocess.PIPE
    process = start(env=env, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        end_group(process, grace_seconds=0)
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def greeted(process: subprocess.Popen[bytes]) -> int:
    """Let the program go on to its endless pause; its process id."""
    process.stdin.write(b"a line\n")
    process.stdin.flush()
    number, _, rest = process.stdout.readline().decode()[1:].partition(", ")
    assert rest == '["an argument"], "a word", "a line\\n"]\n'
    return int(number)


@ways
def test_it_gets_what_it_was_started_with_and_its_status_comes_back(warm, folder, way) -> None:
    with running(way(warm, "program", "7", "an argument"), folder) as process:
        greeted(process)
        assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=20) == 7
        assert process.stdout.read() == b""
        assert process.stderr.read() == b"a complaint\n"


@ways
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_a_signal_that_ends_it_is_its_status(warm, folder, way, number) -> None:
    with running(way(warm, "program", "0", "an argument"), folder) as process:
        program = greeted(process)
        process.send_signal(number)
        assert process.wait(timeout=20) == -number
        assert wait_until_gone(program, timeout_seconds=20)


@ways
def test_why_it_could_not_go_on_is_said_where_python_says_it(warm, folder, way) -> None:
    for module, last_line in (("refusing", b"a reason"), ("broken", b"KeyError: 'a fault'")):
        with running(way(warm, module), folder) as process:
            assert process.wait(timeout=20) == 1
            assert process.stderr.read().splitlines()[-1] == last_line


def test_a_started_one_has_its_own_id_and_group_and_can_be_frozen(warm, folder) -> None:
    with running(by_start(warm, "program", "0", "an argument"), folder) as process:
        assert greeted(process) == process.pid == os.getpgid(process.pid)
        process.send_signal(signal.SIGSTOP)
        seen = psutil.Process(process.pid)
        until(lambda: seen.status() == psutil.STATUS_STOPPED, 20, "it stands still")
        assert end_group(process, grace_seconds=0) == -signal.SIGKILL


def test_nothing_outlives_the_python(tmp_path: Path, folder: Path) -> None:
    warm = WarmPython(tmp_path, ["json"])
    with warm, running(by_start(warm, "program", "0", "an argument"), folder) as process:
        greeted(process)
        warm.close()
        assert wait_until_gone(process.pid, timeout_seconds=20)
        assert process.wait(timeout=20) == -signal.SIGKILL
