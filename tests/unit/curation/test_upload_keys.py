"""Every key of an uploaded row is used, refused or counted, and other files are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from academy.curation.uploads.rows import read_upload, validate_upload
from tests.unit.curation.upload_files import GOOD, TURNS, check, upload


def test_tools_calls_and_results_are_kept_in_one_form(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        TURNS[0],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "name": "add", "content": "3"},
        {"role": "assistant", "content": "It is 3.", "weight": 1},
    ]
    sharegpt = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Why?"},
        {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1}}'},
        {"from": "observation", "value": "3"},
        {"from": "gpt", "value": "It is 3."},
    ]
    older = [
        *messages[:2],
        {"role": "assistant", "content": None, "function_call": call["function"]},
        {"role": "function", "name": "add", "content": "3"},
        messages[4],
    ]
    called = [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]
    for row, name in (
        ({"messages": messages, "tools": [tool]}, {"name": "add"}),
        ({"messages": older, "functions": [tool["function"]]}, {"name": "add"}),
        ({"conversations": sharegpt, "tools": json.dumps([tool])}, {}),
        ({"prompt": messages[:4], "completion": messages[4:], "tools": [tool]}, {"name": "add"}),
    ):
        (read,) = read_upload(upload(tmp_path, row))
        assert read.messages == (
            {"role": "system", "content": "Be brief."},
            TURNS[0],
            {"role": "assistant", "content": "", "tool_calls": called},
            {"role": "tool", "content": "3", **name},
            {"role": "assistant", "content": "It is 3."},
        )
        assert read.tools == (tool,)


def test_arguments_that_are_no_json_of_an_object_stay_text(tmp_path: Path) -> None:
    call = {"function": {"name": "add", "arguments": "1 and 2"}}
    answer = {"role": "assistant", "tool_calls": [call]}
    (row,) = read_upload(upload(tmp_path, {"messages": [TURNS[0], answer]}))
    assert row.answer == '{"arguments": "1 and 2", "name": "add"}'


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [*TURNS, TURNS[0], {**TURNS[1], "weight": 0}]},
        {"messages": TURNS, "weight": 0},
        {"conversations": [*GOOD["sharegpt"]["conversations"]], "weight": 0},
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "Ho", "weight": 0},
            ]
        },
        {**GOOD["alpaca"], "weight": 0},
        {**GOOD["prompt-completion"], "weight": 0},
        {**GOOD["preference"], "weight": 0},
    ],
)
def test_an_answer_of_weight_0_is_marked(row: dict[str, Any], tmp_path: Path) -> None:
    (read,) = read_upload(upload(tmp_path, row))
    assert read.messages[-1]["weight"] == 0


def test_of_several_answers_each_has_its_own_weight(tmp_path: Path) -> None:
    messages = [TURNS[0], {**TURNS[1], "weight": 0}, TURNS[0], {**TURNS[1], "weight": 1}]
    (read,) = read_upload(upload(tmp_path, {"messages": messages}))
    assert [each.get("weight") for each in read.messages] == [None, 0, None, None]


@pytest.mark.parametrize("weight", [2, -1, 0.5, "0", True, False, [0], {}])
def test_a_weight_is_0_or_1(weight: Any) -> None:
    for row, format, pointer in (
        ({"messages": [TURNS[0], {**TURNS[1], "weight": weight}]}, "openai", "/messages/1/weight"),
        ({**GOOD["alpaca"], "weight": weight}, "alpaca", "/weight"),
    ):
        found = [(each.pointer, each.code) for each in check(row, format, 1)]
        assert found == [(pointer, "invalid_weight")]


def test_what_no_training_uses_is_counted_by_its_place(tmp_path: Path) -> None:
    messages = [
        {**TURNS[0], "name": "ada", "weight": 1},
        {**TURNS[1], "reasoning_content": "hm", "annotations": [], "audio": {"id": "a"}},
    ]
    rows = [
        {"messages": messages, "parallel_tool_calls": False, "id": "x"},
        {"messages": messages, "metadata": {"a": 1}},
    ]
    report = validate_upload(upload(tmp_path, *rows))
    assert report.ok
    assert report.ignored == {
        "/messages/*/audio": 2,
        "/messages/*/name": 2,
        "/messages/*/reasoning_content": 2,
        "/messages/*/weight": 2,
        "/metadata": 1,
        "/parallel_tool_calls": 1,
    }
    other = validate_upload(upload(tmp_path, {**GOOD["alpaca"], "text": "all", "id": 1}))
    assert other.ignored == {"/text": 1}
    many = [{**GOOD["alpaca"], f"key{number}": 1} for number in range(300)]
    counted = validate_upload(upload(tmp_path, *many)).ignored
    assert sum(counted.values()) == 300 and len(counted) <= 101
    built_in = validate_upload(upload(tmp_path, {"messages": TURNS, "tools": [{"type": "search"}]}))
    assert built_in.ignored == {"/tools/*/search": 1}


@pytest.mark.parametrize(
    ("tools", "pointer"),
    [("{", "/tools"), (7, "/tools"), ([7], "/tools/0"), ([{"function": {}}], "/tools/0")],
)
def test_tools_are_functions_with_names(tools: Any, pointer: str) -> None:
    problems = check({"messages": TURNS, "tools": tools}, "openai", 1)
    assert [(each.pointer, each.code) for each in problems] == [(pointer, "data_type")]


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (json.dumps([{"messages": TURNS}], indent=1).encode(), "json_array", "jq -c '.[]'"),
        (b'[{"prompt": "a", "completion": "b"}]', "json_array", "one JSON array"),
        (json.dumps({"messages": TURNS}, indent=1).encode(), "json_over_many_lines", "jq -c ."),
        (b'{"prompt": "a",\n "completion": "b"}', "json_over_many_lines", "several lines"),
        (b"prompt,completion\nhow now,brown cow\n", "csv", "prompt, completion"),
        (b'"prompt";"completion"\n"a";"b"\n', "csv", "semicolons"),
        (b"prompt\tcompletion\na\tb\n", "csv", "tabs"),
        ('{"prompt": "a"}\n'.encode("utf-16"), "invalid_encoding", "UTF-16"),
        ('{"prompt": "a"}\n'.encode("utf-16-le"), "invalid_encoding", "UTF-16"),
        ('{"prompt": "a"}\n'.encode("utf-32-be"), "invalid_encoding", "UTF-16"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(
    content: bytes, code: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    (problem,) = validate_upload(path).problems
    assert (problem.line, problem.code) == (1, code)
    assert told in problem.reason


@pytest.mark.parametrize(
    ("line", "pointer", "code"),
    [
        (b'{"\\ud800": 1}', "/?", "invalid_encoding"),
        (b'{"messages": [{"role": "user", "\\ud800": 1}]}', "/messages/0/?", "invalid_encoding"),
        (b'{"id": "x\\ud800", "prompt": "a", "completion": "b"}', "/id", "invalid_encoding"),
        (b'{"prompt": "a", "prompt": "b", "completion": "c"}', "", "invalid_json"),
        (b'{"prompt": "a", "completion": "b", "x": {"y": 1, "y": 2}}', "", "invalid_json"),
        (b'{"prompt": "a", "completion": "b", "x": 1e999}', "", "invalid_json"),
    ],
)
def test_names_and_ids_are_read_as_strictly_as_texts(
    line: bytes, pointer: str, code: str, tmp_path: Path
) -> None:
    (problem,) = validate_upload(upload(tmp_path, line)).problems
    assert (problem.pointer, problem.code) == (pointer, code)


def _calling(arguments: str) -> dict[str, Any]:
    call = {"function": {"name": "f", "arguments": arguments}}
    return {"messages": [TURNS[0], {"role": "assistant", "content": None, "tool_calls": [call]}]}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (r'{"a": "\ud800"}', "invalid_encoding"),
        (r'{"\udc00": 1}', "invalid_encoding"),
        ('{"a":' * 900 + "1" + "}" * 900, "invalid_json"),
        ('{"a":' * 150 + "1" + "}" * 150, "invalid_json"),
        ('{"a": NaN}', "invalid_json"),
        ('{"a": 1, "a": 2}', "invalid_json"),
    ],
)
def test_json_inside_of_a_text_is_read_as_strictly(text: str, code: str) -> None:
    turns = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]
    tools = f'[{{"name": "f", "parameters": {text}}}]'
    for row, format in (
        (_calling(text), "openai"),
        ({"messages": TURNS, "tools": tools}, "openai"),
        ({"conversations": turns, "tools": tools}, "sharegpt"),
    ):
        assert [each.code for each in check(row, format, 1)] == [code]


def test_a_prompt_that_both_conversations_begin_with_is_read_once(tmp_path: Path) -> None:
    other = [TURNS[0], {"role": "assistant", "content": "No."}]
    for prompt in ("Why?", TURNS[:1]):
        row = {"prompt": prompt, "chosen": TURNS, "rejected": other, "messages": TURNS}
        (read,) = read_upload(upload(tmp_path, row), pairs=True)
        assert (list(read.messages), read.rejected) == (TURNS, "No.")
    canonical = {"id": "a", "messages": TURNS[:1], "chosen": "Because.", "rejected": "No."}
    (read,) = read_upload(upload(tmp_path, canonical), pairs=True)
    assert (list(read.messages), read.rejected) == (TURNS, "No.")


def test_what_stands_beside_what_is_used_is_counted(tmp_path: Path) -> None:
    function = {"name": "f", "arguments": "{}", "extra": 1}
    call = {"function": function, "index": 0}
    answer = {"role": "assistant", "tool_calls": [call], "function_call": function}
    row = {
        "messages": [{**TURNS[0], "tool_calls": [call]}, answer],
        "tools": [{"function": {"name": "f"}, "strict": True}],
        "functions": [{"name": "g"}],
    }
    report = validate_upload(upload(tmp_path, row))
    assert report.ignored == {
        "/functions": 1,
        "/messages/*/function_call": 1,
        "/messages/*/tool_calls": 1,
        "/messages/*/tool_calls/*/extra": 1,
        "/messages/*/tool_calls/*/index": 1,
        "/tools/*/strict": 1,
    }


@pytest.mark.parametrize(
    ("row", "format", "pointer"),
    [
        ({"messages": TURNS, "tools": 0}, "openai", "/tools"),
        ({"messages": TURNS, "tools": {}}, "openai", "/tools"),
        ({"messages": TURNS, "tools": [{"function": {"name": " "}}]}, "openai", "/tools/0/name"),
        ({**GOOD["alpaca"], "history": {}}, "alpaca", "/history"),
        ({**GOOD["alpaca"], "history": ""}, "alpaca", "/history"),
        ({**GOOD["alpaca"], "system": 0}, "alpaca", "/system"),
    ],
)
def test_a_wrong_type_is_refused_also_where_it_is_empty(
    row: dict[str, Any], format: str, pointer: str
) -> None:
    assert [each.pointer for each in check(row, format, 1)] == [pointer]


def test_nothing_that_is_learnt_or_shown_holds_a_nul(tmp_path: Path) -> None:
    call = {"function": {"name": "f\0g", "arguments": {"a\0": "b\0"}}}
    row = {"messages": [TURNS[0], {"role": "assistant", "tool_calls": [call]}]}
    (read,) = read_upload(upload(tmp_path, row))
    assert "\\u0000" not in json.dumps(read.messages)
