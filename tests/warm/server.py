"""The process that warm programs are forked from: ``server.py SOCKET [--gevent] MODULES…``.

SOCKET is the number of an open one that listens. The modules are imported once, with gevent's
versions of the blocking calls if asked. Each connection is one program: a process of its own waits
for it, passes signals on to it, ends it when its client ends, and tells the client how it ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import resource
import runpy
import signal
import sys
import traceback
from os import fork, pidfd_open, waitpid  # as they are before gevent replaces them
from select import select
from socket import recv_fds, socket
from typing import Any

from academy.host.parent import die_with_parent
from academy.host.quick_imports import quick_imports

_LARGEST_REQUEST = 200_000
_MOST_FILES = 64


def main() -> None:
    number, *modules = sys.argv[1:]
    ear = socket(fileno=int(number))
    # Before the libraries are imported, as the trainer does.
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    if modules[0] == "--gevent":
        from gevent import monkey

        monkey.patch_all()
        del modules[0]
    with quick_imports():
        for each in modules:
            importlib.import_module(each)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how those that wait have ended
    us = os.getpid()
    while True:
        door, _ = ear.accept()
        if fork() == 0:
            die_with_parent(us)
            ear.close()
            _look_after_one(door)
        door.close()


def _look_after_one(door: socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    body, files, _, _ = recv_fds(door, _LARGEST_REQUEST, _MOST_FILES)
    if not body:
        os._exit(0)
    us = os.getpid()
    program = fork()
    if program == 0:
        die_with_parent(us)
        door.close()
        _become(json.loads(body), files)
    for each in files:
        os.close(each)
    ended = pidfd_open(program)
    status = _until_over(door, program, ended)
    with contextlib.suppress(OSError):  # nobody waits for it
        door.send(str(status).encode())
    os._exit(0)


def _until_over(door: socket, program: int, ended: int) -> int:
    """Tell the client which process it is, and pass signals on; how the program ended."""
    with contextlib.suppress(OSError):
        door.send(str(program).encode())
    while True:
        ready, _, _ = select([door, ended], [], [])
        if ended in ready:
            break
        try:
            said = door.recv(16)
        except OSError:
            said = b""
        with contextlib.suppress(ProcessLookupError):
            os.kill(program, int(said or signal.SIGKILL))
        if not said:
            break
    _, status = waitpid(program, 0)
    return os.waitstatus_to_exitcode(status)


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Be what ``python ARGUMENTS`` is."""
    os.setsid()
    _place(files, request["files"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    resource.setrlimit(resource.RLIMIT_DATA, tuple(request["data_bytes"]))
    random.seed()
    flag, module, *arguments = request["arguments"]
    status = 1
    try:
        if flag != "-m":
            raise ValueError(f"a warm program is a module, and not {flag}")
        sys.argv = [module, *arguments]
        sys.path[0] = request["folder"]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        traceback.print_exc()
        if isinstance(error, KeyboardInterrupt):  # of which Python ends as of a signal
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _place(files: list[int], numbers: list[int]) -> None:
    """Give the open files the numbers that they had in the client."""
    above = max([*numbers, *files]) + 1
    for place, each in enumerate(files):
        os.dup2(each, above + place, inheritable=False)
        os.close(each)
    for place, number in enumerate(numbers):
        os.dup2(above + place, number)
        os.close(above + place)


if __name__ == "__main__":
    main()
