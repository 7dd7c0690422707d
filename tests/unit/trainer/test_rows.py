import json
from pathlib import Path
from typing import Any

import pytest

from academy.trainer.data.rows import PreferenceRow, Row, choose_rows, halve, read_rows
from academy.trainer.spec import BadDataset

GOOD = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def write(folder: Path, *lines: Any) -> Path:
    path = folder / "train.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def many(count: int) -> list[Row]:
    return [Row(f"row-{number}", ()) for number in range(count)]


def test_canonical_rows_are_read_and_what_is_not_needed_is_left(tmp_path: Path) -> None:
    path = write(tmp_path, {"id": "1", "messages": GOOD, "source": "git", "group": "g"}, "")
    assert read_rows(path) == [Row("1", tuple(GOOD))]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 2"),
        ("[]", "object"),
        ({"id": 1, "messages": GOOD}, "'id'"),
        ({"id": "2"}, "'messages'"),
        ({"id": "2", "messages": []}, "'messages'"),
        ({"id": "2", "messages": [{"role": "function", "content": "x"}]}, "role"),
        ({"id": "2", "messages": [GOOD[0], {"role": "assistant", "content": None}]}, "not text"),
        ({"id": "2", "messages": GOOD[:1]}, "answer"),
        ({"id": "2", "messages": [GOOD[0], {"role": "assistant", "content": " \n"}]}, "answer"),
        ({"id": "1", "messages": GOOD}, "repeated"),
        ("\xff", "line 2"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path: Path, line: Any, why: str) -> None:
    with pytest.raises(BadDataset, match=r"train\.jsonl line 2") as caught:
        read_rows(write(tmp_path, {"id": "1", "messages": GOOD}, line))
    assert why in str(caught.value)


def test_the_chosen_rows_do_not_change_when_others_come_or_go() -> None:
    rows = many(100)
    chosen = choose_rows(rows, 20, seed=1)
    assert len(chosen) == 20
    assert choose_rows([row for row in rows if row in chosen or row.id > "row-5"], 20, 1) == chosen
    assert choose_rows(rows, 20, seed=2) != chosen
    assert choose_rows(rows, 100, seed=1) == rows


def test_the_halves_share_no_row() -> None:
    first, second = halve(many(9), seed=1)
    assert (len(first), len(second)) == (4, 5)
    assert {row.id for row in first}.isdisjoint(row.id for row in second)


def test_pairs_are_read_for_dpo(tmp_path: Path) -> None:
    path = write(tmp_path, {"id": "1", "messages": GOOD[:1], "chosen": "a", "rejected": "b"})
    assert read_rows(path, "dpo") == [PreferenceRow("1", tuple(GOOD[:1]), "a", "b")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"id": "2", "messages": GOOD}, "no 'chosen' and 'rejected' answer, which method 'dpo'"),
        ({"id": "2", "messages": GOOD, "chosen": "a", "rejected": "b"}, "end with the user's"),
        ({"id": "2", "messages": GOOD[:1], "chosen": "a"}, "no text in 'rejected'"),
        ({"id": "2", "messages": GOOD[:1], "chosen": " ", "rejected": "b"}, "no text in 'chosen'"),
        ({"id": "2", "messages": [], "chosen": "a", "rejected": "b"}, "'messages'"),
    ],
)
def test_what_is_no_pair_is_refused_for_dpo(tmp_path: Path, line: Any, why: str) -> None:
    with pytest.raises(BadDataset, match=why):
        read_rows(write(tmp_path, line), "dpo")


def test_a_pair_is_refused_for_sft_with_the_way_out(tmp_path: Path) -> None:
    line = {"id": "2", "messages": GOOD[:1], "chosen": "a", "rejected": "b"}
    with pytest.raises(BadDataset, match="preference pair, which method 'dpo' learns from"):
        read_rows(write(tmp_path, line))
