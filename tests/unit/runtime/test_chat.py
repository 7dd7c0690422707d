"""A chat request is taken or refused field by field."""

from __future__ import annotations

from typing import Any

import pytest

from academy.errors import InvalidRequest
from academy.runtime.chat import parse_chat
from academy.runtime.generation import Sampling

HELLO = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}

REFUSED = [
    ({"temperature": 2.5}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1, "max_completion_tokens": 2}, "contradict"),
    ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"logit_bias": {"5": 1.0}}, "logit_bias"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"stop": 5}, "stop"),
    ({"stop": ["ok", ""]}, "stop/1"),
    ({"seed": -1}, "seed"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"temprature": 1}, "temprature: there is no such field"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages/0/role"),
    ({"messages": [{"role": "user", "content": None}]}, "messages/0/content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages/0/content"),
    ({"model": None}, "model"),
]


@pytest.mark.parametrize(("change", "named"), REFUSED)
def test_a_value_that_is_not_served_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_chat({**HELLO, **change})
    assert named in str(refused.value)
    assert refused.value.errors


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_chat({**HELLO, "temperature": 9, "n": 3})
    assert {each["pointer"] for each in refused.value.errors} == {"/temperature", "/n"}


def test_harmless_fields_of_openai_are_taken() -> None:
    harmless = {
        "user": "alice",
        "metadata": {"team": "a"},
        "store": False,
        "n": 1,
        "logprobs": False,
        "logit_bias": {},
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "response_format": {"type": "text"},
        "modalities": ["text"],
        "service_tier": "auto",
        "stop": None,
        "seed": None,
    }
    assert parse_chat({**HELLO, **harmless}).limit is None


def test_content_parts_and_developer_turns_become_plain_turns() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    chat = parse_chat({**HELLO, "messages": [{"role": "developer", "content": parts}]})
    assert chat.messages[0].as_template() == {"role": "system", "content": "ab"}


def test_sampling_is_as_asked_then_as_recommended_then_as_openai_does() -> None:
    recommended = {"temperature": 0.6, "top_k": 20}
    assert parse_chat(HELLO).sampling({}) == Sampling(temperature=1.0)
    assert parse_chat({**HELLO, "temperature": 0, "seed": 7}).sampling(recommended) == Sampling(
        temperature=0, top_k=20, seed=7
    )


def test_one_stop_string_is_a_list_of_one() -> None:
    assert parse_chat({**HELLO, "stop": "END"}).stop == ["END"]
