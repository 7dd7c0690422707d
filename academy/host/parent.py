"""Dying with the parent, and the program that starts every child so that it does.

There are two ways, and no third. `die_with_parent` has the kernel do it: at once, whatever both
processes are doing, but only for a parent that is a process of this host. `follow_lifeline` notices
that standard input ended, so it also reaches a trainer in a container, whose parent is the engine.

As a program, which `academy.host.processes.spawn` starts, it becomes a command:
``parent.py PARENT SIGNAL DATA_BYTES UID GID KEEP_REACH SAID PROGRAM COMMAND…``. It is a program
and no ``preexec_fn``, which may hang for ever in a process that has threads: they hold locks while
it is copied. It is run by its path and imports little, because it stands before every child.

With a UID (-1: none) it becomes one of that account's first. Folders such as ``/root`` are closed
to an ordinary account, so with KEEP_REACH it keeps one capability, CAP_DAC_OVERRIDE, which it had
as root anyway (capabilities(7), "Ambient capabilities"). SAID is a file descriptor (-1: none) that
gets the reason if that is refused, and ends without one once the command runs.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` itself also imports enum: 5 ms more
import ctypes
import os
import resource
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


def die_with_parent(parent: int, death_signal: int = _signal.SIGKILL) -> None:
    """Have the kernel send this process `death_signal` when its parent, `parent`, is gone.

    It is the *thread* that started this process whose end counts (prctl(2), PR_SET_PDEATHSIG). A
    parent that is gone already ends this process with status 1. Children do not inherit it. Nothing
    happens on a system other than Linux.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # it died before prctl took effect
            os._exit(1)


def follow_lifeline() -> None:
    """End this process at once when its standard input ends: whoever held the other end is gone.

    Nothing is written any more: another worker may hold the job by then.
    """
    import threading  # the program does without

    def read() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os._exit(1)

    threading.Thread(target=read, name="lifeline", daemon=True).start()


def main() -> None:
    """Become the command; returns never."""
    parent, death_signal, data_bytes, uid, gid, keep_reach, said = map(int, sys.argv[1:8])
    program, command = sys.argv[8], sys.argv[9:]
    if said >= 0:
        os.set_inheritable(said, False)
    if uid >= 0:
        try:
            _become(uid, gid, keep_reach=bool(keep_reach))
        except OSError as error:
            if said >= 0:
                os.write(said, str(error).encode())
            sys.exit(1)
    die_with_parent(parent, death_signal)  # not before, as a change of account undoes it
    if data_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    for ignored in (_signal.SIGPIPE, _signal.SIGXFSZ):  # by Python, and it would be inherited
        _signal.signal(ignored, _signal.SIG_DFL)
    os.execv(program, command)


def _become(uid: int, gid: int, *, keep_reach: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if keep_reach:
        _check(libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "securebits")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if not keep_reach:
        return
    # Every other capability goes; this one survives exec as an ambient one.
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    bits = 1 << _CAP_DAC_OVERRIDE
    # Two blocks of effective, permitted, inheritable; the capability is in the first block.
    sets = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)
    _check(libc.capset(header, sets), "capset")
    raised = libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
    _check(raised, "ambient capability")


def _check(answer: int, what: str) -> None:
    if answer != 0:
        raise OSError(ctypes.get_errno(), f"{what} was refused")


if __name__ == "__main__":
    main()
