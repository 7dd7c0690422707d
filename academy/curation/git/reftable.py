"""Looking up one ref in a repository that keeps its refs in tables (git 2.45 and newer).

Any git can read the objects of such a repository; only refs are stored in another way. So the few
bytes that lead from HEAD to a commit are read here, and no version of git and no copy of the
tables is needed. Format: git's Documentation/technical/reftable, versions 1 and 2.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from pathlib import Path

from academy.errors import RepositoryRefused

_TABLE = re.compile(r"0x[0-9a-f]{12,16}-0x[0-9a-f]{12,16}-[0-9a-zA-Z]+\.ref")
_LIST_BYTES = 1 << 20
_TABLE_BYTES = 256 << 20
_TRIES = 3
_HEADER_BYTES = {1: 24, 2: 28}
_FOOTER_POSITIONS = 40  # five positions of eight bytes, between the header's copy and the CRC
_DELETED, _ID, _PEELED_ID, _SYMBOLIC = range(4)

Read = Callable[[Path, str, int], bytes | None]
Refuse = Callable[[str], RepositoryRefused]


def find_ref(folder: Path, name: str, id_bytes: int, read: Read, refuse: Refuse) -> str | None:
    """What the ref `name` holds, as a file would: an id in hex or ``ref: …``; None if it is not.

    `read` opens files safely and gives None for a missing one. The newest table that knows the ref
    decides. Raises what `refuse` makes where a table is damaged or its name leads elsewhere.
    """
    for _ in range(_TRIES):  # a git that compacts the tables just now leaves a new list
        listed = read(folder / "tables.list", "its list of ref tables", _LIST_BYTES)
        if listed is None:
            raise refuse("it has no list of ref tables")
        for table in reversed(listed.decode("ascii", "replace").split()):
            if not _TABLE.fullmatch(table):
                raise refuse(f"its list of ref tables names {table[:80]!r}")
            content = read(folder / table, f"its ref table {table}", _TABLE_BYTES)
            if content is None:
                break
            try:
                found = ref_in_table(content, name.encode(), id_bytes)
            except ValueError as error:
                raise refuse(f"its ref table {table} is damaged ({error})") from None
            if found is not None:
                return found or None
        else:
            return None
    raise refuse("its ref tables change all the time")


def ref_in_table(table: bytes, name: bytes, id_bytes: int) -> str | None:
    """What one table says of a ref; "" where it says that it is deleted, None for nothing.

    Raises `ValueError` for bytes that are no table.
    """
    if table[:4] != b"REFT" or len(table) < 5 or table[4] not in _HEADER_BYTES:
        raise ValueError("no header")
    header = _HEADER_BYTES[table[4]]
    end = len(table) - header - _FOOTER_POSITIONS - 4
    if end < header or table[end : end + header] != table[:header]:
        raise ValueError("no footer")
    if zlib.crc32(table[end:-4]) != int.from_bytes(table[-4:], "big"):
        raise ValueError("its checksum is wrong")
    block_size = int.from_bytes(table[5:8], "big")
    block, first = 0, header
    while first < end and table[first : first + 1] == b"r":
        length = int.from_bytes(table[first + 1 : first + 4], "big")
        if not first + 6 <= block + length <= end:
            raise ValueError("a block leaves the table")
        found = _ref_in_block(table[: block + length], first + 4, name, id_bytes)
        if found is not None:
            return found
        # Padded blocks are followed by zeros up to the block size, unpadded ones by the next.
        after = block + length
        padded = block_size > length and table[after : after + 1] == b"\0"
        block = first = block + block_size if padded else after
    return None


def _ref_in_block(table: bytes, at: int, name: bytes, id_bytes: int) -> str | None:
    """Look through the records of a block that ends where `table` ends."""
    end = len(table) - 2 - 3 * int.from_bytes(table[-2:], "big")  # the restart offsets
    known = b""
    while at < end:
        prefix, at = _number(table, at)
        kind, at = _number(table, at)
        length, kind = kind >> 3, kind & 7
        if prefix > len(known) or at + length > end:
            raise ValueError("a name leaves its block")
        known = known[:prefix] + table[at : at + length]
        _, at = _number(table, at + length)
        if kind == _SYMBOLIC:
            size, at = _number(table, at)
        elif kind in (_DELETED, _ID, _PEELED_ID):
            size = kind * id_bytes
        else:
            raise ValueError(f"a record of the unknown kind {kind}")
        value = table[at : at + size]
        if at + size > end:
            raise ValueError("a value leaves its block")
        at += size
        if known == name:
            if kind == _SYMBOLIC:
                return "ref: " + value.decode("utf-8", "surrogateescape")
            return value[:id_bytes].hex()
        if known > name:  # names come in order
            return None
    return None


def _number(table: bytes, at: int) -> tuple[int, int]:
    """A variable-length number, as in pack files' offsets; (number, where it ends)."""
    value = -1
    for place in range(at, min(at + 10, len(table))):
        value = (value + 1) << 7 | table[place] & 0x7F
        if table[place] < 0x80:
            return value, place + 1
    raise ValueError("a number has no end")
