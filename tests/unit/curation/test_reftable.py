"""Ref tables as git writes them, and every damage that they can have."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from academy.curation.git.reftable import find_ref, ref_in_table
from academy.errors import RepositoryRefused
from tests.unit.curation.reftables import write_table

#: Written by dulwich 1.2.21, an implementation of the format that is not ours.
BY_DULWICH = bytes.fromhex(
    "5245465401001000000000000000000200000000000000037200003800234845"
    "4144010f726566732f68656164732f6d61696e00001c00015245465401001000"
    "0000000000000002000000000000000300000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000f778a7fd"
)
REFS = {f"refs/heads/branch-{number:04}": f"{number:040x}" for number in range(500)}


def test_a_table_of_another_implementation_is_read() -> None:
    assert ref_in_table(BY_DULWICH, b"HEAD", 20) == "ref: refs/heads/main"
    assert ref_in_table(BY_DULWICH, b"refs/heads/main", 20) is None


@pytest.mark.parametrize("block_size", [0, 256, 4096])
@pytest.mark.parametrize("id_bytes", [20, 32])
def test_every_ref_is_found_in_any_block(block_size: int, id_bytes: int) -> None:
    refs = {name: value.rjust(2 * id_bytes, "0") for name, value in REFS.items()}
    refs |= {"HEAD": "ref: refs/heads/branch-0007", "refs/heads/gone": ""}
    table = write_table(refs, id_bytes, block_size)
    for name, value in refs.items():
        assert ref_in_table(table, name.encode(), id_bytes) == value
    for name in ("refs/heads/branch-9", "A", "refs/heads/branch-0007x", "z"):
        assert ref_in_table(table, name.encode(), id_bytes) is None


def _reader(files: dict[str, bytes]):
    return lambda path, what, limit: files.get(path.name)


def _refuse(why: str) -> RepositoryRefused:
    return RepositoryRefused(path="r", why=why)


def test_the_newest_table_that_knows_the_ref_decides() -> None:
    names = [f"0x{number:012x}-0x{number:012x}-0000000{number}.ref" for number in range(3)]
    files = {
        "tables.list": "\n".join(names).encode() + b"\n",
        names[0]: write_table({"HEAD": "ref: refs/heads/main", "refs/heads/main": "a" * 40}, 20),
        names[1]: write_table({"refs/heads/main": "b" * 40, "refs/heads/x": "c" * 40}, 20),
        names[2]: write_table({"refs/heads/x": ""}, 20),
    }

    def find(name: str) -> str | None:
        return find_ref(Path("reftable"), name, 20, _reader(files), _refuse)

    assert find("HEAD") == "ref: refs/heads/main"
    assert find("refs/heads/main") == "b" * 40
    assert find("refs/heads/x") is None
    assert find("refs/heads/none") is None


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no list of ref tables"),
        ({"tables.list": b"../../../etc/passwd\n"}, "names '../../../etc/passwd'"),
        ({"tables.list": b"\xff\xfe\n"}, "names"),
        ({"tables.list": b"0x000000000001-0x000000000001-0.ref\n"}, "change all the time"),
        (
            {
                "tables.list": b"0x000000000001-0x000000000001-0.ref\n",
                "0x000000000001-0x000000000001-0.ref": BY_DULWICH[:-1] + b"\0",
            },
            "checksum is wrong",
        ),
    ],
)
def test_tables_that_are_not_whole_are_refused(files: dict[str, bytes], why: str) -> None:
    with pytest.raises(RepositoryRefused, match=why):
        find_ref(Path("reftable"), "HEAD", 20, _reader(files), _refuse)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from([0, 256]))
def test_any_damage_is_a_value_error_or_an_answer(seed: int, changes: int, size: int) -> None:
    made = random.Random(seed)
    table = bytearray(write_table(dict(list(REFS.items())[:20]), 20, size))
    end = len(table) - 68
    for _ in range(changes):
        table[made.randrange(24, end)] = made.randrange(256)
    footer = bytes(table[end:-4])
    whole = bytes(table[:end]) + footer + zlib.crc32(footer).to_bytes(4, "big")
    for name in (b"HEAD", b"refs/heads/branch-0003"):
        try:
            found = ref_in_table(whole, name, 20)
        except ValueError:
            continue
        assert found is None or isinstance(found, str)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_no_table(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|footer|checksum"):
        ref_in_table(b"REFT\1" + data, b"HEAD", 20)
