"""A folder of the store as one ``.tar.gz``, made while it is sent, and taken apart again.

Equal folders give equal bytes: the files come in the order of their names and carry no time, owner
or mode of their own. The weights of adapters hardly shrink, so the quickest compression is used.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from academy.artifacts.manifest import NAME, read_manifest
from academy.errors import AcademyError

MEDIA_TYPE = "application/gzip"
_CHUNK_BYTES = 256 << 10
_BLOCK = tarfile.BLOCKSIZE
#: Weights unpack to little more than the size of their archive, what means harm to a thousandfold.
_MOST_TIMES_LARGER, _MOST_ABOVE_THAT = 20, 64 << 20
#: zlib's number for a stream with gzip's header, which then holds no time and no name.
_GZIP = 31


class BadArchive(AcademyError):
    """What was sent is no whole archive of an artifact: {why}."""

    code = "bad_archive"
    next_step = "Download it again; nothing of it was kept."


def archive_of(
    folder: Path, root: str, replaced: Mapping[str, bytes] | None = None
) -> Iterator[bytes]:
    """The pieces of an archive that holds the files of the manifest below the folder `root`.

    `replaced` holds other contents for some of the files. No piece is much larger than 256 KiB.
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    for piece in _tar(folder, root, replaced or {}):
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def unpack(archive: Path, root: str, target: Path) -> None:
    """Write what lies below `root` in an archive into the new folder `target`.

    Raises `BadArchive` for one that is cut off, damaged, would write elsewhere, or unpacks to more
    than 20 times its size (and 64 MiB).
    """
    target.mkdir(parents=True)
    left = archive.stat().st_size * _MOST_TIMES_LARGER + _MOST_ABOVE_THAT
    try:
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                name = member.name.removeprefix(f"{root}/")
                if not member.isfile() or name == member.name:
                    raise BadArchive(why=f"it holds {member.name!r}")
                left -= member.size
                if left < 0:
                    raise BadArchive(why=f"with {name!r} it unpacks to more than it could hold")
                member.name = name
                members.extract(member, target, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError) as error:
        raise BadArchive(why=str(error) or type(error).__name__) from error


def _tar(folder: Path, root: str, replaced: Mapping[str, bytes]) -> Iterator[bytes]:
    for name in sorted([*read_manifest(folder)["files"], NAME]):
        content = replaced.get(name)
        member = tarfile.TarInfo(f"{root}/{name}")
        member.size = (folder / name).stat().st_size if content is None else len(content)
        yield member.tobuf(tarfile.PAX_FORMAT)
        if content is not None:
            yield content
        else:
            yield from _content(folder / name, member.size)
        yield b"\0" * (-member.size % _BLOCK)
    yield b"\0" * (2 * _BLOCK)


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as stream:
        while left:
            chunk = stream.read(min(_CHUNK_BYTES, left))
            if not chunk:
                raise BadArchive(why=f"{path} became shorter while it was sent")
            left -= len(chunk)
            yield chunk
