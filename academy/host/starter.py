"""The program that `academy.host.processes.spawn` starts: it becomes the command, and dies with us.

``starter.py PARENT SIGNAL DATA_BYTES UID GID KEEP_REACH SAID PROGRAM COMMAND…``. It is a program
and no `preexec_fn`, which may hang for ever in a process that has threads: they hold locks while it
is copied. It is run by its path and imports little, because it stands before every child.

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
    if sys.platform == "linux":
        # After the change of account, at which the kernel forgets it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before prctl took effect
            sys.exit(1)
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
