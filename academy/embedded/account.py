"""The ordinary account that a server runs under when we are root.

PostgreSQL refuses to run as root. We then become another account between fork and exec. Folders
such as ``/root`` are closed to that account, and opening them (``chmod o+x``, as the wheel does)
would change the machine for everybody, so where a path is closed the child keeps one capability,
CAP_DAC_OVERRIDE, which it had as root anyway (capabilities(7), "Ambient capabilities").
"""

from __future__ import annotations

import ctypes
import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_CAP_DAC_OVERRIDE = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True)
class Account:
    """A user of this machine; `keep_reach`: it reaches closed folders by a capability."""

    uid: int
    gid: int
    keep_reach: bool = False

    def become(self) -> None:
        """Turn this process into one of the account. Called between fork and exec."""
        if self.keep_reach:
            _check(
                _libc().prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "securebits"
            )
        os.setgroups([])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        if self.keep_reach:
            _keep_only(_CAP_DAC_OVERRIDE)

    def own(self, folder: Path) -> None:
        """Give a folder and all that is in it to the account."""
        os.chown(folder, self.uid, self.gid)
        for root, folders, files in os.walk(folder):
            for name in (*folders, *files):
                os.chown(Path(root) / name, self.uid, self.gid, follow_symlinks=False)


def server_account(data: Path, needs: Iterable[Path]) -> Account | None:
    """The account for the server whose data lies in `data`; None where we are not root.

    The owner of existing data stays its owner; new data belongs to `postgres` if the machine has
    such a user, else to `nobody`. `needs` are the paths the server has to reach.
    """
    if os.geteuid() != 0:
        return None
    owner = data.stat().st_uid if data.exists() else 0
    if owner == 0:
        owner = _uid_of("postgres") or _uid_of("nobody") or 65534
    try:
        group = pwd.getpwuid(owner).pw_gid
    except KeyError:  # data that was copied from a machine with other users
        group = 65534
    closed = any(not _reachable(path, owner, group) for path in needs)
    return Account(uid=owner, gid=group, keep_reach=closed)


def _uid_of(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return 0


def _reachable(path: Path, uid: int, gid: int) -> bool:
    path = path.resolve()
    for each in (path, *path.parents):
        if not each.exists():
            continue
        status = each.stat()
        bit = stat.S_IXOTH
        if status.st_uid == uid:
            bit = stat.S_IXUSR
        elif status.st_gid == gid:
            bit = stat.S_IXGRP
        if not status.st_mode & bit:
            return False
    return True


def _keep_only(capability: int) -> None:
    """Drop every capability but one, which then survives exec as an ambient one."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    bits = 1 << capability
    # Two blocks of effective, permitted, inheritable; the capability is in the first block.
    sets = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)
    _check(_libc().capset(header, sets), "capset")
    raised = _libc().prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)
    _check(raised, "ambient capability")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(answer: int, what: str) -> None:
    if answer != 0:
        raise OSError(ctypes.get_errno(), f"{what} was refused")
