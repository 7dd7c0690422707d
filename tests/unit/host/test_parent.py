"""A process dies with its parent in one of two ways, which are both written once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import academy
import workers
from academy.host.processes import is_alive, spawn, wait_until_gone

_LIFELINE = "from academy.host.parent import follow_lifeline; import time; follow_lifeline()"


def test_a_lifeline_that_ends_ends_the_process() -> None:
    process = spawn(
        [sys.executable, "-c", f"{_LIFELINE}; print('up', flush=True); time.sleep(60)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"up\n"
        process.stdin.write(b"whatever is said on it")
        process.stdin.flush()
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=20) == 1


def test_a_parent_that_is_gone_already_ends_the_process() -> None:
    code = (
        "import os; from academy.host.parent import die_with_parent;"
        "die_with_parent(os.getppid() + 1); print('alive')"
    )
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")


def test_the_kernel_ends_a_process_whose_parent_is_killed() -> None:
    code = (
        "import os, time\n"
        "from academy.host.parent import die_with_parent\n"
        "parent = os.getpid()\n"
        "if os.fork() == 0:\n"
        "    die_with_parent(parent)\n"
        "    print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
        assert wait_until_gone(child, 10)


def test_what_ends_with_a_process_is_written_once() -> None:
    homes = {".prctl(": {"parent.py"}, "fcntl.flock(": {"filelock.py"}, 'kw["bind"]': {"engine.py"}}
    folders = [Path(str(each.__file__)).parent for each in (academy, workers)]
    texts = {path: path.read_text() for folder in folders for path in folder.rglob("*.py")}
    for word, names in homes.items():
        assert {path.name for path, text in texts.items() if word in text} == names, word
