"""Conversations with tools: for templates that know tools as they are, for all others as text.

A message has ``role`` (system, user, assistant or tool) and ``content``; an assistant's may have
``tool_calls`` in OpenAI's form, with arguments as an object, and a tool's the ``name`` of what was
called. A conversation may have ``tools``, the definitions that it could call. Hugging Face's
templates take all of these (https://huggingface.co/docs/transformers/chat_extras).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]
ROLES = frozenset({"system", "user", "assistant", "tool"})

#: What introduces the definitions of tools where the template cannot show them.
TOOLS_INTRODUCTION = "These tools can be called, each with one line of JSON:"


def text_of(message: Message) -> str:
    """What a message says: its content, and below it one line of JSON for each call."""
    content: str = message["content"] or ""
    calls = message.get("tool_calls")
    if not calls:
        return content
    return "\n".join([*([content] if content else []), *map(call_text, calls)])


def call_text(call: Mapping[str, Any]) -> str:
    """A call as one line of JSON, with its name and its arguments."""
    function = call["function"]
    said = {"name": function["name"], "arguments": function["arguments"]}
    return json.dumps(said, ensure_ascii=False, sort_keys=True)


def uses_tools(messages: Sequence[Message], tools: Sequence[Any]) -> bool:
    """Whether a conversation has anything that only a template that knows tools can show."""
    return bool(tools) or any(each["role"] == "tool" or each.get("tool_calls") for each in messages)


def knows_tools(template: str, messages: Sequence[Message], tools: Sequence[Any]) -> bool:
    """Whether a chat template speaks of everything that the conversation has of tools."""
    wanted = [
        (bool(tools), r"\btools\b"),
        (any(each.get("tool_calls") for each in messages), r"\btool_calls\b"),
        (any(each["role"] == "tool" for each in messages), r"[\"']tool[\"']"),
    ]
    return all(re.search(pattern, template) for needed, pattern in wanted if needed)


def says_all(text: str, messages: Sequence[Message], tools: Sequence[Any]) -> bool:
    """Whether a rendered conversation holds each tool, each call and each result by name or text.

    Templates may take a part and leave it out; then the conversation is shown as text instead.
    """
    names = [each["function"]["name"] for each in tools]
    for message in messages:
        names += [each["function"]["name"] for each in message.get("tool_calls") or ()]
        if message["role"] == "tool":
            names.append(message["content"].strip())
    return all(each in text or _as_json(each) in text for each in names)


def as_texts(messages: Sequence[Message], tools: Sequence[Any]) -> list[dict[str, Any]]:
    """The conversation with system, user and assistant as its only roles.

    What the assistant called becomes JSON in its message, what came back a user's message, and the
    tools a part of the system message, which is made where there is none.
    """
    found: list[dict[str, Any]] = []
    for message in messages:
        role, text = message["role"], text_of(message)
        if role == "tool":
            name = message.get("name")
            role, text = "user", f"Tool result{f' ({name})' if name else ''}:\n{text}"
        kept = {"weight": message["weight"]} if "weight" in message else {}
        found.append({"role": role, "content": text, **kept})
    if tools:
        lines = [json.dumps(each["function"], ensure_ascii=False) for each in tools]
        introduced = "\n".join([TOOLS_INTRODUCTION, *lines])
        if found and found[0]["role"] == "system":
            found[0]["content"] = f"{found[0]['content']}\n\n{introduced}"
        else:
            found.insert(0, {"role": "system", "content": introduced})
    return found


def _as_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
