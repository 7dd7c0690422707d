"""The ordinary account that a server runs under when we are root.

PostgreSQL refuses to run as root, so it then runs as another account. Folders such as ``/root`` are
closed to that account, and opening them (``chmod o+x``, as the wheel does) would change the machine
for everybody, so where a path is closed the server keeps the capability to pass.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from academy.host.processes import Account


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


def own(folder: Path, account: Account) -> None:
    """Give a folder and all that is in it to the account."""
    os.chown(folder, account.uid, account.gid)
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(root) / name, account.uid, account.gid, follow_symlinks=False)


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
