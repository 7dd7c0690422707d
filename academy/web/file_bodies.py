"""Taking in an uploaded file: streamed to disk, never held in memory.

It is the one part named ``file`` of a form (RFC 7578), or the body itself.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import gevent
from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from academy.artifacts.scratch import scratch
from academy.errors import AcademyError
from academy.settings import Settings
from academy.web.declarations import BYTES, View, reads_body
from academy.web.offload import offload
from academy.web.strict_json import NDJSON_TYPES, BodyIncomplete, require_media_type

FORM = "multipart/form-data"
RAW_TYPES = (
    *sorted(NDJSON_TYPES),
    "application/vnd.apache.parquet",
    "application/x-parquet",
    "application/octet-stream",
)
#: What a form may have around its file: its borders, its headers and its other fields.
_FORM_BYTES = 64 << 10
_FORM_PARTS = 40
#: The parser counts what it has buffered of a file as well, which is up to two reads of 64 KiB.
_BUFFER_BYTES = 1 << 20
_CHUNK_BYTES = 256 << 10


def takes_file(view: View) -> View:
    """The view takes a file by `received`: as the part ``file`` of a form, or as the body."""
    form = {"type": "object", "required": ["file"], "properties": {"file": BYTES}}
    return reads_body({FORM: form, **dict.fromkeys(RAW_TYPES, BYTES)})(view)


class FileTooLarge(AcademyError):
    """The file is larger than the {limit} bytes that are allowed."""

    code = "body_too_large"
    status = 413
    next_step = "Send less at once, or raise ACADEMY_MAX_UPLOAD_BYTES."


class BadForm(AcademyError):
    """The form cannot be used: {why}."""

    code = "bad_form"
    status = 400
    next_step = "Send the file as the part 'file' of a multipart/form-data body, or as the body."


@dataclass(frozen=True)
class Received:
    """A file on disk, what its sender calls it, and the form's other fields."""

    path: Path
    name: str
    sha256: str
    fields: MultiDict[str, str]


@contextmanager
def received(request: Request, settings: Settings) -> Iterator[Received]:
    """The request's file, in a folder that is removed again afterwards.

    Raises `WrongMediaType`, `FileTooLarge`, `BodyIncomplete` or `BadForm`.
    """
    require_media_type(request, FORM, *RAW_TYPES)
    limit = settings.api.max_upload_bytes
    is_form = request.mimetype == FORM
    # One byte more tells a file of just the right size from one that is too large.
    request.max_content_length = limit + (_FORM_BYTES if is_form else 1)
    declared = request.content_length
    if declared is not None and declared > request.max_content_length:
        raise FileTooLarge(limit=limit)
    with scratch(settings.home, "uploads") as folder:
        path = folder / "file"
        try:
            name, fields = (_form if is_form else _body)(request, path)
        except ClientDisconnected as error:
            got = path.stat().st_size if path.exists() else 0
            raise BodyIncomplete(received=got, declared=declared or "unknown") from error
        except RequestEntityTooLarge as error:
            raise FileTooLarge(limit=limit) from error
        if path.stat().st_size > limit:
            raise FileTooLarge(limit=limit)
        yield Received(path, name, offload(_sha256, path), fields)


def _body(request: Request, path: Path) -> tuple[str, MultiDict[str, str]]:
    with path.open("wb") as file:
        shutil.copyfileobj(_InTurns(request.stream), file, _CHUNK_BYTES)
        got, declared = file.tell(), request.content_length
    if declared is not None and got < declared:
        raise BodyIncomplete(received=got, declared=declared)
    return "the body", MultiDict()


def _form(request: Request, path: Path) -> tuple[str, MultiDict[str, str]]:
    opened: list[BinaryIO] = []

    def open_file(*_: Any, **__: Any) -> BinaryIO:
        if opened:
            raise BadForm(why="it has more than one file")
        opened.append(path.open("w+b"))
        return opened[0]

    parser = FormDataParser(
        open_file, max_form_memory_size=_BUFFER_BYTES, max_form_parts=_FORM_PARTS, silent=False
    )
    try:
        _, fields, files = parser.parse(
            cast(BinaryIO, _InTurns(request.stream)),
            request.mimetype,
            request.content_length,
            request.mimetype_params,
        )
    except (ValueError, UnicodeError) as error:
        raise BadForm(why=str(error) or type(error).__name__) from error
    finally:
        for each in opened:
            each.close()
    file: FileStorage | None = files.get("file")
    if file is None:
        names = ", ".join(sorted({*fields, *files})) or "nothing"
        raise BadForm(why=f"it has no part 'file' with a filename, but {names}")
    return (file.filename or "the file")[:200], fields


class _InTurns:
    """A stream that lets other requests run between two reads.

    Data of a fast sender is always there already, so that reading it alone would never wait.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        gevent.sleep(0)
        return self._stream.read(size)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
