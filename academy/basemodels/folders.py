"""The base models on this machine: where they lie, what they are called, and their digest.

A base model is a folder with ``config.json`` and safetensors weights inside one of
`settings.model_folders`; its name is its path relative to that folder, so ``llama`` and
``org/llama`` are both names. Nothing here loads a model or imports torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from academy.artifacts.manifest import digest_of
from academy.errors import BaseModelUnavailable


@dataclass(frozen=True)
class ModelFolder:
    """A base model that can be named in a request."""

    name: str
    path: Path


def find(name: str, folders: Sequence[Path]) -> ModelFolder:
    """The base model called `name`, or lying at the absolute path `name`, in one of `folders`.

    Raises `BaseModelUnavailable`, which says where it looked. A name that would leave the folders
    (``..``, or a path or link to elsewhere) is refused in the same way, because what lies there is
    not this service's to read.
    """
    for folder in folders:
        # joinpath keeps an absolute name as it is, and the check below decides about both.
        path = folder.joinpath(name)
        if name.strip() and _is_inside(path, folder) and _is_model(path):
            return ModelFolder(_name_of(path, folder), path.resolve())
    looked_in = ", ".join(str(folder) for folder in folders) or "no folder, as none is set"
    raise BaseModelUnavailable(name=name, looked_in=looked_in)


def available(folders: Sequence[Path]) -> list[ModelFolder]:
    """Every base model in `folders`, by name; the first folder wins where names repeat."""
    found: dict[str, ModelFolder] = {}
    for folder in folders:
        # Two levels, because hub names look like organisation/model.
        for config in [*folder.glob("*/config.json"), *folder.glob("*/*/config.json")]:
            path = config.parent
            if any(part.startswith(".") for part in path.relative_to(folder).parts):
                continue  # one that is being prepared right now
            if _is_inside(path, folder) and _is_model(path):
                name = _name_of(path, folder)
                found.setdefault(name, ModelFolder(name, path.resolve()))
    return sorted(found.values(), key=lambda each: each.name)


def digest(folder: Path) -> str:
    """``sha256:…`` over the sizes and sha256 of the model's files, computed as in a manifest.

    The files' sha256 are cached beside the folder by size and modification time, because hashing
    gigabytes takes many seconds and the weights of a base model hardly ever change.
    """
    folder = folder.resolve()
    cache = folder.parent / f".{folder.name}.digest.json"
    known = _read_cache(cache)
    entries: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or any(part.startswith(".") for part in Path(name).parts):
            continue
        stat = path.stat()
        entry = known.get(name, {})
        if (entry.get("bytes"), entry.get("mtime_ns")) != (stat.st_size, stat.st_mtime_ns):
            with path.open("rb") as stream:
                sha256 = file_digest(stream, "sha256").hexdigest()
            entry = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256}
        entries[name] = entry
    if entries != known:
        _write_cache(cache, entries)
    return digest_of(
        {
            name: {"bytes": entry["bytes"], "sha256": entry["sha256"]}
            for name, entry in entries.items()
        }
    )


def _is_model(path: Path) -> bool:
    return (path / "config.json").is_file() and any(path.glob("*.safetensors"))


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve() != folder.resolve() and path.resolve().is_relative_to(folder.resolve())


def _name_of(path: Path, folder: Path) -> str:
    return path.resolve().relative_to(folder.resolve()).as_posix()


def _read_cache(cache: Path) -> dict[str, Any]:
    try:
        known = json.loads(cache.read_text())
    except (OSError, ValueError):
        return {}  # no cache, or a damaged one: the files are hashed again
    return known if isinstance(known, dict) else {}


def _write_cache(cache: Path, entries: dict[str, dict[str, Any]]) -> None:
    if not os.access(cache.parent, os.W_OK):
        return  # a read-only model store works too, only without the cache
    temporary = cache.with_name(f"{cache.name}.{os.getpid()}")
    temporary.write_text(json.dumps(entries, sort_keys=True))
    temporary.replace(cache)
