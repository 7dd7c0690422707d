"""The manifest that makes a folder whole: names, sizes and sha256 of its files.

It is written last, so a folder with a valid manifest is complete. The folder's digest is the
sha256 over the canonical JSON of the manifest's ``files``; it holds no time and no path, so equal
content has an equal digest. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from academy.errors import AcademyError, DigestMismatch

NAME = "manifest.json"
SCHEMA_VERSION = 1
_CHUNK = 4 << 20


class ManifestMissing(AcademyError):
    """{path} has no readable manifest ({why}), so it is incomplete or damaged."""

    code = "manifest_missing"
    status = 409
    next_step = "Delete the folder and let it be made again."


def write_manifest(folder: Path, tick: Callable[[], None] = lambda: None) -> str:
    """Describe every file under `folder`, flush all to disk, publish the manifest; the digest.

    `tick` is called for every few MiB and may raise to stop, which leaves no manifest.
    """
    files = describe(folder, tick)
    digest = digest_of(files)
    body = {"schema_version": SCHEMA_VERSION, "files": files, "digest": digest}
    for name in files:
        tick()
        _fsync(folder / name)
    temporary = folder / f".{NAME}.{os.getpid()}"
    temporary.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")
    _fsync(temporary)
    temporary.replace(folder / NAME)
    _fsync(folder)
    return digest


def verify_manifest(
    folder: Path, expected: str | None = None, tick: Callable[[], None] = lambda: None
) -> str:
    """Check every file under `folder` against its manifest and the expected digest; the digest.

    `tick` is called as by `write_manifest`. Raises `ManifestMissing` for an incomplete folder and
    `DigestMismatch` for a changed one.
    """
    recorded = read_manifest(folder)
    actual = digest_of(describe(folder, tick))
    if actual != recorded["digest"]:
        raise DigestMismatch(path=str(folder), actual=actual, expected=recorded["digest"])
    if expected is not None and actual != expected:
        raise DigestMismatch(path=str(folder), actual=actual, expected=expected)
    return actual


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest as written: ``schema_version``, ``files`` and ``digest``."""
    try:
        body = json.loads((folder / NAME).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestMissing(path=str(folder), why=type(error).__name__) from error
    if not isinstance(body, dict) or body.get("schema_version") != SCHEMA_VERSION:
        raise ManifestMissing(path=str(folder), why="of another schema version")
    if not isinstance(body.get("digest"), str) or not isinstance(body.get("files"), dict):
        raise ManifestMissing(path=str(folder), why="without 'digest' or 'files'")
    return body


def describe(folder: Path, tick: Callable[[], None] = lambda: None) -> dict[str, dict[str, Any]]:
    """Size in bytes and sha256 (hex) of each file under `folder`, by its relative POSIX path."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != NAME and not name.startswith(f".{NAME}."):
            files[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path, tick)}
    return files


def digest_of(files: dict[str, dict[str, Any]]) -> str:
    """The digest of a manifest's ``files``: ``sha256:`` and 64 hex digits."""
    canonical = json.dumps(files, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def _sha256(path: Path, tick: Callable[[], None]) -> str:
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
            tick()
    return found.hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
