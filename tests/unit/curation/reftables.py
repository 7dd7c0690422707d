"""Writes ref tables as git does, for tests on machines whose git cannot.

Format: git's Documentation/technical/reftable.
"""

from __future__ import annotations

import zlib
from pathlib import Path

_RESTART_EVERY = 16


def write_table(refs: dict[str, str], id_bytes: int, block_size: int = 4096) -> bytes:
    """A table of `refs`: an id in hex, ``ref: …``, or "" for a deletion; 0 pads no block."""
    version = 1 if id_bytes == 20 else 2
    header = b"REFT" + bytes([version]) + block_size.to_bytes(3, "big") + bytes(8) + bytes(8)
    header += b"s256" if version == 2 else b""
    table = header
    left = sorted((name.encode(), value) for name, value in refs.items())
    start = 0  # the first block begins with the header
    while left:
        block = (table if start == 0 else b"") + b"r\0\0\0"
        opening = len(block) - 4
        restarts: list[int] = []
        before = b""
        taken = 0
        for name, value in left:
            restart = taken % _RESTART_EVERY == 0
            prefix = 0 if restart else _shared(before, name)
            record = _record(name, prefix, value)
            room = len(block) + len(record) + 3 * (len(restarts) + restart) + 2
            if taken and room > (block_size or 600):
                break
            restarts += [len(block)] * restart
            block += record
            before = name
            taken += 1
        block += b"".join(each.to_bytes(3, "big") for each in restarts)
        block += len(restarts).to_bytes(2, "big")
        block = block[: opening + 1] + len(block).to_bytes(3, "big") + block[opening + 4 :]
        left = left[taken:]
        table = block if start == 0 else table + block
        if left and block_size:
            table += bytes(-len(table) % block_size)
        start = len(table)
    footer = header + bytes(40)
    return table + footer + zlib.crc32(footer).to_bytes(4, "big")


def store_refs_in_tables(git_dir: Path, refs: dict[str, str], id_bytes: int) -> None:
    """Make a repository with files one that keeps its refs in a table."""
    name = "0x000000000001-0x000000000002-0a1b2c3d.ref"
    (git_dir / "reftable").mkdir()
    (git_dir / "reftable" / name).write_bytes(write_table(refs, id_bytes))
    (git_dir / "reftable" / "tables.list").write_text(name + "\n")
    (git_dir / "HEAD").write_text("ref: refs/heads/.invalid\n")


def _record(name: bytes, prefix: int, value: str) -> bytes:
    kind, data = 0, b""
    if value.startswith("ref: "):
        target = value.removeprefix("ref: ").encode()
        kind, data = 3, _number(len(target)) + target
    elif value:
        kind, data = 1, bytes.fromhex(value)
    suffix = name[prefix:]
    return _number(prefix) + _number(len(suffix) << 3 | kind) + suffix + _number(0) + data


def _shared(left: bytes, right: bytes) -> int:
    """How many bytes both begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(left), len(right)))


def _number(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        value -= 1
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))
