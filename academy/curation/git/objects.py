"""Which object stores a repository reads from, checked for links that lead out of the roots."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from academy.errors import RepositoryRefused

#: Git itself follows alternates to a depth of five.
_ALTERNATE_DEPTH = 5
#: A repository with more loose objects than this needs `git gc` before it is worth reading.
_MAX_ENTRIES = 4_000_000
_ALTERNATES_LIMIT = 1 << 20

Confined = Callable[[Path, str], Path]
Refuse = Callable[[str], RepositoryRefused]


def object_stores(objects: Path, confined: Confined, refuse: Refuse) -> tuple[Path, ...]:
    """The real folders of `objects` and of its alternates, in git's order.

    Git follows links and alternates wherever they lead, which would let a repository read the
    history of another one. So each store, and each link in it, must lie inside the allowed roots,
    and everything in it must be a regular file.
    """
    found: list[Path] = []
    waiting = [(objects, 0)]
    while waiting:
        folder, depth = waiting.pop(0)
        real = confined(folder, "its object store" if depth == 0 else f"the alternate {folder}")
        if real in found:
            continue
        if depth > _ALTERNATE_DEPTH:
            raise refuse(f"its alternates are nested deeper than {_ALTERNATE_DEPTH}")
        _check_entries(real, confined, refuse)
        found.append(real)
        waiting += [(each, depth + 1) for each in _alternates(real, refuse)]
    return tuple(found)


def _check_entries(store: Path, confined: Confined, refuse: Refuse) -> None:
    seen = 0
    folders = [store]
    visited = {store}
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError as error:
            raise refuse(f"its object store cannot be listed ({error.strerror})") from None
        for entry in entries:
            seen += 1
            if seen > _MAX_ENTRIES:
                raise refuse(f"its object store has over {_MAX_ENTRIES} files; run `git gc` first")
            path = Path(entry.path)
            if entry.is_symlink():
                path = confined(path, f"the link {entry.name!r} in its object store")
            kind = path.stat().st_mode if entry.is_symlink() else None
            if entry.is_dir(follow_symlinks=False) or (kind and stat.S_ISDIR(kind)):
                if path not in visited:
                    visited.add(path)
                    folders.append(path)
            elif not (entry.is_file(follow_symlinks=False) or (kind and stat.S_ISREG(kind))):
                raise refuse(f"{entry.name!r} in its object store is no regular file")


def _alternates(store: Path, refuse: Refuse) -> list[Path]:
    path = store / "info" / "alternates"
    if not path.exists():
        return []
    with path.open("rb") as stream:
        content = stream.read(_ALTERNATES_LIMIT + 1)
    if len(content) > _ALTERNATES_LIMIT:
        raise refuse("its alternates file is too large")
    stores = []
    for line in os.fsdecode(content).split("\n"):
        if not line or line.startswith("#"):
            continue
        if line.startswith('"') or "\0" in line:
            raise refuse(f"its alternates file has a quoted or broken line {line[:80]!r}")
        # A missing alternate is only a warning to git, and nothing can be read from it.
        if os.path.lexists(store / line):
            stores.append(store / line)
    return stores
