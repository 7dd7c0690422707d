"""Publishing a folder: filled under another name, flushed, described, and renamed last."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from academy.artifacts.manifest import write_manifest
from academy.errors import AcademyError


class StorageFailed(AcademyError):
    """{path} could not be written: {why}."""

    code = "storage"
    next_step = "Free space on that disk, or correct its permissions; the job can then go on."


def publish(target: Path, fill: Callable[[Path], None]) -> str:
    """Let `fill` write into a new folder and make that the folder `target`; its digest.

    `target` is the old folder or the whole new one at any moment, also when the power fails.
    Raises `StorageFailed` when the disk is full or refuses, and leaves nothing behind then.
    """
    scratch = target.with_name(f".{target.name}.new")
    old = target.with_name(f".{target.name}.old")
    try:
        _remove(scratch)
        scratch.mkdir(parents=True)
        fill(scratch)
        for path in scratch.rglob("*"):
            if path.is_file():
                path.chmod(0o644)  # servers of other users read it, too
        digest = write_manifest(scratch)
        _remove(old)
        if target.exists():
            target.rename(old)
        scratch.rename(target)
        _flush(target.parent)
        _remove(old)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(scratch, ignore_errors=True)  # the failure to write is what matters
        raise StorageFailed(path=str(target), why=str(error)) from error
    return digest


def make_folder(folder: Path) -> None:
    """Make the folder and those above it; raises `StorageFailed`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(path=str(folder), why=str(error)) from error


def write_json(path: Path, body: dict[str, Any]) -> None:
    """Write a JSON file so that it is whole or absent; raises `StorageFailed`."""
    scratch = path.with_name(f".{path.name}.new")
    try:
        with scratch.open("w") as stream:
            json.dump(body, stream, indent=1, sort_keys=True, allow_nan=False)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
        _flush(path.parent)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StorageFailed(path=str(path), why=str(error)) from error


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
