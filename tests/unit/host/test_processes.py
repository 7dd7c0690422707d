"""A child becomes its command, with its signals and limits, and dies with who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Any

import psutil
import pytest

from academy.host.processes import Account, end_group, is_alive, spawn, wait_until_gone

_SHOW = "grep -E '^(Uid|Gid|Groups|CapEff|SigIgn):' /proc/self/status"
_REACH = 1 << 1  # CAP_DAC_OVERRIDE
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


def lines_of(process: subprocess.Popen[bytes], count: int) -> list[str]:
    assert process.stdout is not None
    with process.stdout as stream:
        return [stream.readline().decode().strip() for _ in range(count)]


def test_the_command_gets_its_own_arguments_and_ordinary_signals() -> None:
    # Python ignores SIGPIPE for itself, so a shell says what it was given.
    shell = spawn(
        ["sh", "-c", "grep SigIgn /proc/self/status; echo $0 $1", "a b", "c"],
        stdout=subprocess.PIPE,
    )
    ignored, said = lines_of(shell, 2)
    assert shell.wait(timeout=10) == 0
    assert said == "a b c"
    assert not int(ignored.split()[1], 16) & (1 << (signal.SIGPIPE - 1))


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        spawn(["no-such-program"])


def test_the_memory_limit_holds_for_the_command() -> None:
    process = spawn(
        [sys.executable, "-c", "bytearray(400 << 20)"],
        data_bytes=200 << 20,
        stderr=subprocess.DEVNULL,
    )
    assert process.wait(timeout=20) == 1


def test_it_dies_with_the_thread_that_started_it() -> None:
    started: list[Any] = []

    def start() -> None:
        process = spawn(["sh", "-c", "echo here; exec sleep 60"], stdout=subprocess.PIPE)
        started.append((process, lines_of(process, 1)))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    process, said = started[0]
    assert said == ["here"]
    assert process.wait(timeout=10) == -signal.SIGKILL


def test_ending_a_group_ends_its_grandchildren() -> None:
    process = spawn(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE)
    grandchild = int(lines_of(process, 1)[0])
    assert end_group(process, 5) == -signal.SIGTERM
    assert wait_until_gone(grandchild, 5)


@as_root
@pytest.mark.parametrize("keep_reach", [False, True])
def test_root_starts_it_as_another_account_without_its_own_rights(keep_reach: bool) -> None:
    shell = spawn(
        ["sh", "-c", _SHOW], account=Account(65533, 65532, keep_reach), stdout=subprocess.PIPE
    )
    said = dict(line.split(":") for line in lines_of(shell, 5))
    assert shell.wait(timeout=10) == 0
    assert said["Uid"].split() == ["65533"] * 4
    assert said["Gid"].split() == ["65532"] * 4
    assert said["Groups"].split() == []
    assert int(said["CapEff"], 16) == (_REACH if keep_reach else 0)
    assert not int(said["SigIgn"], 16) & (1 << (signal.SIGPIPE - 1))


@as_root
def test_another_account_dies_with_the_thread_that_started_it_too() -> None:
    started: list[Any] = []

    def start() -> None:
        command = ["sh", "-c", "echo here; exec sleep 60"]
        process = spawn(command, account=Account(65533, 65533), stdout=subprocess.PIPE)
        started.append((process, lines_of(process, 1)))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    process, said = started[0]
    assert said == ["here"]
    assert process.wait(timeout=10) == -signal.SIGKILL


def test_a_process_lives_until_its_last_thread_has_ended() -> None:
    # The first thread ends alone (the system call exit): it shows as a zombie that holds its files.
    code = (
        "import ctypes, sys, threading\n"
        "threading.Thread(target=sys.stdin.read).start()\n"
        "print('begun', flush=True)\n"
        "ctypes.CDLL(None).syscall({'x86_64': 60}.get(__import__('os').uname().machine, 93), 0)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        first = psutil.Process(process.pid)
        while first.status() != psutil.STATUS_ZOMBIE:
            pass
        assert is_alive(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet reaped
        assert not is_alive(process.pid)
