"""What stands for a warm program: `python -I -S client.py NAME ARGUMENTS…`.

NAME is that of the server's socket, an abstract one. It hands its arguments, environment, folder,
limits and open files to the server, passes signals on, and ends as the program ends. The program
ends when this process does.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

#: Those that Python cannot catch stay with this process; the others reach the program.
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def ask(
    name: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    files: Mapping[int, int],
) -> socket.socket:
    """Ask for a program; the socket says its process id and, when it has ended, its status.

    `files` says for each file number of the program's which of ours it is.
    """
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.connect("\0" + name)
    request = {
        "arguments": list(arguments),
        "environment": dict(environment),
        "folder": folder,
        "data_bytes": resource.getrlimit(resource.RLIMIT_DATA),
        "files": list(files),
    }
    passed = array.array("i", files.values())
    door.sendmsg([json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
    return door


def main() -> None:
    files = _open_files()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    door = ask(sys.argv[1], sys.argv[2:], os.environ, os.getcwd(), {each: each for each in files})
    for each in _PASSED_ON:
        signal.signal(each, lambda number, _: _pass_on(door, number))
    for each in files[3:]:
        os.close(each)  # the program has it now, and others wait for its end
    for each in (0, 1):
        os.dup2(os.open(os.devnull, os.O_RDWR), each)
    door.recv(16)  # its process id; it takes signals from now on
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    status = int(door.recv(16) or -signal.SIGKILL)
    if status < 0:
        with contextlib.suppress(OSError):
            signal.signal(-status, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), -status)
    os._exit(status)


def _open_files() -> list[int]:
    """The numbers of the files that a program started here would have."""
    numbers = {0, 1, 2}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that lists them
            if os.get_inheritable(int(name)):
                numbers.add(int(name))
    return sorted(numbers)


def _pass_on(door: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # it has ended
        door.send(str(number).encode())


if __name__ == "__main__":
    main()
