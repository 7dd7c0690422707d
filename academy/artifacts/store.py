"""The artifact store: folders by key, on a disk or in any place that fsspec reaches.

A folder is published by writing its manifest last, and its key ends in its digest: publishing the
same content twice is harmless, and a reader can always tell whether what it got is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from academy.artifacts.manifest import NAME, read_manifest, verify_manifest
from academy.errors import AcademyError, BadSetting
from academy.settings import Settings
from academy.settings.forms import shown_address

#: How a file system says that there is no manifest, of a folder and of a note.
_NOT_THERE = (FileNotFoundError, NotADirectoryError)


class StorageFailure(AcademyError):
    """The artifact store {url!r} did not {action} {key!r}: {why}."""

    code = "storage"
    status = 503
    next_step = "Check free space, permissions and the address in ACADEMY_ARTIFACTS."


def require_store(settings: Settings) -> None:
    """Raise `BadSetting` if the address of the store is of a kind that is not there; asks none."""
    url = settings.artifacts_url
    for part in url.split("::") if "://" in url else ():  # fsspec's chains, such as cache::s3://b
        protocol = part.partition("://")[0]
        try:
            fsspec.get_filesystem_class(protocol)
        except (ValueError, ImportError) as error:
            allowed = f"a folder or the address of a store that fsspec reaches ({error})"
            raise BadSetting(
                name="ACADEMY_ARTIFACTS", value=shown_address(url), allowed=allowed
            ) from None


class ArtifactStore:
    """Publishes, fetches and deletes folders under keys such as ``adapters/0f3a…``.

    Raises `BadSetting` as `require_store`.
    """

    def __init__(self, settings: Settings) -> None:
        require_store(settings)
        #: Its address, without what may be secret in it.
        self.url = shown_address(settings.artifacts_url)
        self._cache = settings.home / "cache"
        self._files: fsspec.AbstractFileSystem
        self._files, self._root = url_to_fs(settings.artifacts_url)
        #: The store's folder where it is one of this machine, else None.
        self.local_root = Path(self._root) if "file" in _protocols(self._files) else None

    def publish(self, folder: Path, kind: str, tick: Callable[[], None] = lambda: None) -> str:
        """Copy a whole folder into the store; its key, ``kind/<sha256>``.

        `tick` is called while files are hashed and between copies, and may raise to stop. Raises
        `ManifestMissing`, `DigestMismatch` or `StorageFailure`.
        """
        digest = verify_manifest(folder, tick=tick)
        key = f"{kind}/{digest.removeprefix('sha256:')}"
        try:
            if self._files.exists(self._path(key, NAME)):
                self.touch(key)  # before somebody names it
                return key
            names = [*read_manifest(folder)["files"], NAME]  # the manifest comes last
            if self.local_root is not None:
                self._link_folder(folder, names, self.local_root / key)
            else:
                for name in names:
                    tick()
                    self._files.put_file(str(folder / name), self._path(key, name))
        except OSError as error:
            raise self.failure("take", key, str(error)) from error
        return key

    def fetch(self, key: str, digest: str | None = None) -> Path:
        """A verified local folder with the content of `key`; it must not be changed.

        Raises `ManifestMissing`, `DigestMismatch` or `StorageFailure`.
        """
        folder = self.locate(key)
        verify_manifest(folder, digest)
        return folder

    def locate(self, key: str) -> Path:
        """The local folder of `key`, which nobody has verified. Raises `StorageFailure`."""
        return self._download(key) if self.local_root is None else self.local_root / _safe(key)

    def read(self, path: str, start: int, end: int) -> bytes:
        """The bytes of a file from `start` up to `end`, without the rest of it.

        Nothing is verified: who asks can tell whether they are what was written. Raises
        `StorageFailure`.
        """
        try:
            data: bytes = self._files.cat_file(self._path(path), start=start, end=end)
        except OSError as error:
            raise self.failure("give", path, str(error)) from error
        return data

    def failure(self, action: str, key: str, why: str) -> StorageFailure:
        """That the store did not do something (take, give, …) with what is under `key`."""
        return StorageFailure(url=self.url, action=action, key=key, why=why)

    def holds(self, key: str) -> bool:
        """Whether there is a whole folder under `key`. Raises `StorageFailure`."""
        try:
            return bool(self._files.exists(self._path(key, NAME)))
        except OSError as error:
            raise self.failure("find", key, str(error)) from error

    def children(self, key: str) -> list[str]:
        """The keys directly under `key`, in order. Raises `StorageFailure`."""
        try:
            path = self._path(key)
            self._files.invalidate_cache(path)
            names = [PurePosixPath(each).name for each in self._files.ls(path, detail=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self.failure("list", key, str(error)) from error
        return [f"{key}/{name}" for name in sorted(names)]

    def age_seconds(self, key: str) -> float | None:
        """Seconds since `key` was published, or since somebody last wrote to it; None if unknown.

        A folder without a manifest is as old as itself. Raises `StorageFailure`.
        """
        for path in (self._path(key, NAME), self._path(key)):
            try:
                written_at = self._files.modified(path)
            except _NOT_THERE:
                continue
            except OSError as error:
                raise self.failure("look at", key, str(error)) from error
            except NotImplementedError:
                return None
            age: timedelta = datetime.now(UTC) - written_at
            return age.total_seconds()
        return None

    def touch(self, key: str) -> None:
        """Make a folder young again: it is not taken for garbage before its grace time is over.

        What is not there stays so. Raises `StorageFailure`.
        """
        manifest = self._path(key, NAME)
        try:
            with contextlib.suppress(*_NOT_THERE):
                if self.local_root is not None:
                    os.utime(manifest)
                else:
                    self._files.pipe_file(manifest, self._files.cat_file(manifest))
        except OSError as error:
            raise self.failure("touch", key, str(error)) from error

    def delete(self, key: str) -> None:
        """Remove a note or a folder, its manifest first, so that nobody takes a part for whole."""
        try:
            with contextlib.suppress(*_NOT_THERE):
                self._files.rm(self._path(key, NAME))
            with contextlib.suppress(FileNotFoundError):
                self._files.rm(self._path(key), recursive=True)
        except OSError as error:
            raise self.failure("delete", key, str(error)) from error

    def write_note(self, key: str, note: dict[str, Any]) -> None:
        """Keep a small JSON document under `key`; replaces what was there at once."""
        try:
            path = self._path(key)
            self._files.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
            temporary = f"{path}.{uuid.uuid4().hex}"
            self._files.pipe_file(temporary, json.dumps(note).encode())
            self._files.mv(temporary, path)
        except OSError as error:
            raise self.failure("take", key, str(error)) from error

    def read_note(self, key: str) -> dict[str, Any] | None:
        """The JSON document under `key`; None if there is none."""
        try:
            note = json.loads(self._files.cat_file(self._path(key)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.failure("give", key, str(error)) from error
        return note if isinstance(note, dict) else None

    def probe(self) -> None:
        """Write, read and delete a small document; raises `StorageFailure`."""
        key = f"probe/{uuid.uuid4().hex}.json"
        self.write_note(key, {"probe": key})
        if self.read_note(key) != {"probe": key}:
            raise self.failure("give back", key, "other content")
        self.delete(key)

    def _link_folder(self, folder: Path, names: list[str], target: Path) -> None:
        """Hard links cost nothing; where they cannot be made, copies do."""
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            for name in names:
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(folder / name, temporary / name)
                except OSError:
                    shutil.copyfile(folder / name, temporary / name)
            try:
                temporary.rename(target)
            except OSError:
                if not (target / NAME).exists():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _download(self, key: str) -> Path:
        target = self._cache / _safe(key)
        if (target / NAME).exists():
            return target
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            manifest = json.loads(self._files.cat_file(self._path(key, NAME)))
            for name in [*manifest["files"], NAME]:
                local = temporary / _safe(name)
                local.parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(self._path(key, name), str(local))
            if not target.exists():
                temporary.rename(target)
        except OSError as error:
            raise self.failure("give", key, str(error)) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target

    def _path(self, *parts: str) -> str:
        return "/".join([str(self._root), *(str(_safe(part)) for part in parts)])


def _safe(key: str) -> PurePosixPath:
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts:
        raise StorageFailure(url="", action="take", key=key, why="the key leaves the store")
    return path


def _protocols(files: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
