"""Tools in conversations: what a template must speak of, and the same as text."""

from __future__ import annotations

from typing import Any

import pytest

from academy.basemodels.conversation import as_texts, knows_tools, says_all, text_of, uses_tools

CALL = {"type": "function", "function": {"name": "add", "arguments": {"b": 2, "a": "ż"}}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds."}}
ASKED: dict[str, Any] = {"role": "user", "content": "Add them."}
CALLED: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT: dict[str, Any] = {"role": "tool", "content": "3", "name": "add"}
SAID = '{"arguments": {"a": "ż", "b": 2}, "name": "add"}'


def test_a_message_says_its_content_and_its_calls() -> None:
    assert text_of(ASKED) == "Add them."
    assert text_of(CALLED) == SAID
    assert text_of({**CALLED, "content": "I add.", "tool_calls": [CALL, CALL]}) == (
        f"I add.\n{SAID}\n{SAID}"
    )


def test_tools_become_part_of_the_system_message() -> None:
    texts = as_texts([{"role": "system", "content": "Be brief."}, ASKED], [TOOL])
    assert [each["role"] for each in texts] == ["system", "user"]
    assert texts[0]["content"].startswith("Be brief.\n\nThese tools can be called")
    assert texts[0]["content"].endswith('\n{"name": "add", "description": "Adds."}')
    made = as_texts([ASKED], [TOOL])
    assert [each["role"] for each in made] == ["system", "user"]


def test_calls_and_results_become_messages_and_keep_their_weight() -> None:
    texts = as_texts([ASKED, {**CALLED, "weight": 0}, RESULT, {**RESULT, "name": ""}], ())
    assert texts == [
        ASKED,
        {"role": "assistant", "content": SAID, "weight": 0},
        {"role": "user", "content": "Tool result (add):\n3"},
        {"role": "user", "content": "Tool result:\n3"},
    ]


@pytest.mark.parametrize(
    ("messages", "tools", "used"),
    [
        ([ASKED], (), False),
        ([ASKED], [TOOL], True),
        ([ASKED, CALLED], (), True),
        ([ASKED, RESULT], (), True),
    ],
)
def test_only_conversations_with_tools_need_a_template_that_knows_them(
    messages: list[dict[str, Any]], tools: Any, used: bool
) -> None:
    assert uses_tools(messages, tools) is used


@pytest.mark.parametrize(
    ("template", "known"),
    [
        ("{{ messages }}", False),
        ("{% if tools %}{% endif %}", False),
        ("{% if tools %}{{ message.tool_calls }}{% endif %}", False),
        ("{% if tools %}{{ message.tool_calls }}{% endif %}{% if role == 'tool' %}", True),
    ],
)
def test_a_template_knows_tools_if_it_speaks_of_all_that_is_there(
    template: str, known: bool
) -> None:
    assert knows_tools(template, [ASKED, CALLED, RESULT], [TOOL]) is known


def test_a_text_says_all_if_it_has_each_name_and_each_result() -> None:
    messages = [ASKED, CALLED, {**RESULT, "content": 'a "quoted"\nline'}]
    assert says_all('add {"result": "a \\"quoted\\"\\nline"}', messages, [TOOL])
    assert says_all('add a "quoted"\nline', messages, [TOOL])
    assert not says_all("add", messages, [TOOL])
    assert not says_all('a "quoted"\nline', messages, [TOOL])
