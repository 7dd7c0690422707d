"""Uploads are validated as a whole; each bad line is named with its place and its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from academy.curation.errors import UploadRefused
from academy.curation.uploads.formats import detect
from academy.curation.uploads.rows import read_upload, validate_upload
from tests.unit.curation.upload_files import GOOD, TURNS, check, upload


@pytest.mark.parametrize("format", GOOD)
def test_each_format_is_recognised_and_read(format: str, tmp_path: Path) -> None:
    path = upload(tmp_path, GOOD[format], GOOD[format])
    report = validate_upload(path)
    assert (report.ok, report.format, report.rows, report.bad_rows) == (True, format, 2, 0)
    rows = list(read_upload(path))
    assert len(rows) == 2
    assert rows[0].messages[-1]["role"] == "assistant"
    assert rows[0].source == "upload"
    assert rows[0].group == rows[1].group
    assert rows[0].id != rows[1].id


@pytest.mark.parametrize("format", GOOD)
def test_parquet_reads_the_same_rows_as_json(format: str, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    row = {key: value for key, value in GOOD[format].items() if key != "tools"}
    parquet.write_table(pyarrow.Table.from_pylist([row] * 3), tmp_path / "rows.parquet")
    assert validate_upload(tmp_path / "rows.parquet").ok
    from_parquet = [each.messages for each in read_upload(tmp_path / "rows.parquet")]
    assert from_parquet == [each.messages for each in read_upload(upload(tmp_path, row, row, row))]


def test_prompt_and_completion_can_be_messages(tmp_path: Path) -> None:
    path = upload(tmp_path, {"prompt": TURNS[:1], "completion": TURNS[1:]})
    assert [row.messages for row in read_upload(path)] == [tuple(TURNS)]


def test_a_row_keeps_its_id_whichever_line_it_comes_in(tmp_path: Path) -> None:
    rows = [{"prompt": f"Where is {n}?", "completion": f"At {n * 2}."} for n in range(3)]
    first = {row.answer: row.id for row in read_upload(upload(tmp_path, *rows))}
    moved = [{"completion": "new", "prompt": "q"}, *reversed(rows)]
    second = {row.answer: row.id for row in read_upload(upload(tmp_path, *moved))}
    assert first.items() <= second.items()
    own = [{**rows[0], "id": "a"}, {**rows[1], "id": "a"}, {**rows[2], "id": 7}]
    ids = [row.id for row in read_upload(upload(tmp_path, *own))]
    assert len(set(ids)) == 3 and ids[1] == f"{ids[0]}:2"
    (changed,) = read_upload(upload(tmp_path, {**rows[2], "id": "a"}))
    assert changed.id == ids[0] and changed.provenance["id"] == "a"


def test_pairs_keep_both_answers_only_where_they_are_wanted(tmp_path: Path) -> None:
    turns = [TURNS[0], {"role": "assistant", "content": "No."}]
    path = upload(tmp_path, GOOD["preference"], {"chosen": TURNS, "rejected": turns})
    pairs = list(read_upload(path, pairs=True))
    assert [(row.answer, row.rejected) for row in pairs] == [
        ("Gladly.", "No."),
        ("Because.", "No."),
    ]
    assert [row.rejected for row in read_upload(path)] == [None, None]
    with pytest.raises(UploadRefused, match="no rejected answer"):
        list(read_upload(upload(tmp_path, GOOD["alpaca"]), pairs=True))


PAIRS: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": "a", "chosen": "b"}, "", "message_missing_key"),
    ({"prompt": "a", "rejected": "b"}, "", "message_missing_key"),
    ({"prompt": "a", "chosen": "b", "rejected": "b \n\n"}, "/rejected", "identical_answers"),
    ({"prompt": "a", "chosen": "b", "rejected": " "}, "/rejected", "missing_content"),
    ({"prompt": "a", "chosen": "b", "rejected": 1}, "/rejected", "data_type"),
    ({"chosen": "b", "rejected": "c"}, "/prompt", "example_missing_user_message"),
    ({"prompt": TURNS, "chosen": "b", "rejected": "c"}, "/prompt", "example_missing_user_message"),
    ({"chosen": TURNS, "rejected": TURNS[1:]}, "/rejected", "different_prompts"),
    (
        {"chosen": TURNS, "rejected": TURNS[:1]},
        "/rejected",
        "example_missing_assistant_message",
    ),
]


@pytest.mark.parametrize(("row", "pointer", "code"), PAIRS)
def test_each_bad_pair_is_reported_with_its_place(
    row: dict[str, Any], pointer: str, code: str
) -> None:
    assert [(each.pointer, each.code) for each in check(row, "preference", 1)] == [(pointer, code)]


BAD: list[tuple[Any, str, str]] = [
    (b"{not json", "", "invalid_json"),
    (b"[" * 100_000, "", "invalid_json"),
    (b'{"messages": NaN}', "", "invalid_json"),
    (b"\xff\xfe", "", "invalid_encoding"),
    (b"1" * 5_000, "", "invalid_json"),
    ([], "", "data_type"),
    ({}, "", "unknown_format"),
    ({"text": "hello"}, "", "unknown_format"),
    ({"messages": []}, "/messages", "missing_messages_list"),
    ({"messages": "hello"}, "/messages", "missing_messages_list"),
    ({"messages": [7]}, "/messages/0", "data_type"),
    ({"messages": [{"content": "x"}]}, "/messages/0", "message_missing_key"),
    ({"messages": [{"role": "boss", "content": "x"}]}, "/messages/0/role", "unrecognized_role"),
    ({"messages": [{"role": [], "content": "x"}]}, "/messages/0/role", "unrecognized_role"),
    ({"messages": [{"role": "user", "content": 1}]}, "/messages/0/content", "missing_content"),
    ({"messages": [{"role": "user"}]}, "/messages/0/content", "missing_content"),
    ({"messages": [{**TURNS[0], "a/b": 1}]}, "/messages/0/a~1b", "message_unrecognized_key"),
    ({"messages": TURNS[:1]}, "", "example_missing_user_message"),
    ({"messages": [*TURNS, TURNS[0]]}, "", "example_missing_assistant_message"),
    ({"messages": [TURNS[0], {"role": "assistant", "content": " "}]}, "", "missing_content"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, TURNS[1]]},
        "/messages/0/content/0",
        "data_type",
    ),
    (
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        "/messages/0/content",
        "invalid_encoding",
    ),
    (GOOD["alpaca"], "", "mixed_formats"),
]


def test_each_bad_line_is_reported_with_its_place_and_reason(tmp_path: Path) -> None:
    path = upload(tmp_path, GOOD["openai"], *[line for line, _, _ in BAD])
    report = validate_upload(path)
    assert not report.ok
    assert report.rows == len(BAD) + 1
    assert report.bad_rows == report.problems_total == len(BAD)
    found = [(each.line, each.pointer, each.code) for each in report.problems]
    assert found == [(at + 2, pointer, code) for at, (_, pointer, code) in enumerate(BAD)]
    assert all(each.reason for each in report.problems)
    with pytest.raises(UploadRefused, match="line 2"):
        list(read_upload(path))


@pytest.mark.parametrize(
    ("row", "pointer"),
    [
        ({"instruction": "x"}, ""),
        ({"instruction": 1, "output": "x"}, "/instruction"),
        ({"instruction": "x", "output": "y", "history": [["a"]]}, "/history/0"),
        ({"conversations": [{"from": "alien", "value": "x"}]}, "/conversations/0/from"),
        ({"conversations": [{"from": "human"}]}, "/conversations/0"),
        ({"prompt": "x", "completion": 7}, "/completion"),
        ({"completion": "x"}, ""),
        ({"prompt": "x", "chosen": "y", "rejected": None}, "/rejected"),
    ],
)
def test_other_formats_name_the_place_too(row: dict[str, Any], pointer: str) -> None:
    (problem,) = check(row, detect(row), 1)
    assert problem.pointer == pointer


def test_at_most_a_thousand_problems_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    report = validate_upload(upload(tmp_path, *[b"x"] * 2_500))
    assert len(report.problems) == 1_000
    assert report.problems_total == report.bad_rows == 2_500


def test_blank_lines_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD["openai"]).encode() + b"\r\n\n  \n")
    assert validate_upload(path).rows == 1


def test_a_line_of_many_megabytes_is_skipped_and_the_next_one_read(tmp_path: Path) -> None:
    long = json.dumps({"prompt": "x" * (9 << 20), "completion": "y"}).encode()
    report = validate_upload(upload(tmp_path, long, GOOD["prompt-completion"]))
    assert [(each.line, each.code) for each in report.problems] == [(1, "line_too_long")]
    assert report.rows == 2


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no row"),
        (b"\n\n", "no row"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"PK\x03\x04zip", "compressed"),
        (b"PAR1 this is none", "no readable Parquet"),
        (b"x" * 2_000, "at most 1,000"),
    ],
)
def test_a_file_that_is_none_is_refused(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(UploadRefused, match=why):
        validate_upload(tmp_path / "rows", max_bytes=1_000)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UploadRefused, match="no regular file"):
        validate_upload(tmp_path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*["messages", "role", "content", "conversations", "from", "value", "prompt"]]
            )
            | st.sampled_from(
                ["completion", "instruction", "output", "tool_calls", "function", "name"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(VALUES, st.sampled_from([None, *GOOD]))
@example({"messages": [{"role": "assistant", "tool_calls": {"function": {"name": "x"}}}]}, "openai")
def test_no_value_makes_the_checks_fail(value: Any, format: str | None) -> None:
    for problem in check(value, format, 1):
        assert problem.code
        assert problem.reason


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300))
@example(b"PAR1" + b"\0" * 20 + b"\xff\xff\xff\x7fPAR1")
def test_no_bytes_make_the_validation_fail(data: bytes) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        path.write_bytes(data)
        try:
            report = validate_upload(path)
        except UploadRefused:
            return
        assert report.bad_rows <= report.rows
