"""A canonical row in the format that a user asked for. Each conversion is a pure function."""

from __future__ import annotations

import json
from typing import Any

from academy.basemodels.conversation import as_texts
from academy.curation.errors import NotPairs
from academy.curation.git.examples import CHANGE_PROMPT, MESSAGE_PROMPT
from academy.curation.request import DatasetFormat

_SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}


def in_format(row: dict[str, Any], format: DatasetFormat) -> dict[str, Any]:
    """The row's messages in `format`; nothing else of the row is kept.

    Alpaca and ShareGPT have no one way to write tools, so there they are text. Of a preference
    pair, every other format has the chosen answer. Raises `NotPairs` where pairs are asked for and
    the row is none.
    """
    if format == "preference":
        return preference(row)
    messages: list[dict[str, Any]] = row["messages"]
    tools = {"tools": row["tools"]} if row.get("tools") else {}
    if "chosen" in row:
        messages = [*messages, {"role": "assistant", "content": row["chosen"]}]
    if format == "openai":
        return {"messages": [_openai(each) for each in messages], **tools}
    if format == "prompt-completion":
        return {"prompt": messages[:-1], "completion": messages[-1:], **tools}
    texts = as_texts(messages, row.get("tools") or ())
    return alpaca(texts) if format == "alpaca" else sharegpt(texts)


def alpaca(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """``instruction``, ``input``, ``output`` (Stanford Alpaca).

    A commit's fixed request is the instruction and its diff the input. Earlier turns and the
    system message go to ``history`` and ``system``, as LLaMA-Factory reads them; rows without
    have neither.
    """
    *before, question, answer = messages if len(messages) > 1 else [{"content": ""}, *messages]
    instruction, given = question["content"], ""
    for fixed in (MESSAGE_PROMPT, CHANGE_PROMPT):
        if instruction.startswith(fixed + "\n\n"):
            instruction, given = fixed, instruction[len(fixed) + 2 :]
    row: dict[str, Any] = {
        "instruction": instruction,
        "input": given,
        "output": answer["content"],
    }
    system = "\n\n".join(each["content"] for each in before if each["role"] == "system")
    if system:
        row["system"] = system
    history = _pairs([each for each in before if each["role"] != "system"])
    if history:
        row["history"] = history
    return row


def preference(row: dict[str, Any]) -> dict[str, Any]:
    """``prompt``, ``chosen`` and ``rejected``, each a list of messages (TRL, "preference").

    https://huggingface.co/docs/trl/dataset_formats
    """
    if "chosen" not in row:
        raise NotPairs(id=row.get("id", ""))
    return {
        **({"tools": row["tools"]} if row.get("tools") else {}),
        "prompt": row["messages"],
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
    }


def sharegpt(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """``conversations`` of ``from`` (system, human, gpt) and ``value`` (ShareGPT, FastChat)."""
    return {
        "conversations": [
            {
                "from": _SHAREGPT_ROLES[each["role"]],
                "value": each["content"],
                **({"weight": 0} if each.get("weight") == 0 else {}),
            }
            for each in messages
        ]
    }


def _openai(message: dict[str, Any]) -> dict[str, Any]:
    """The message with the arguments of its calls as JSON text, as OpenAI has them."""
    if "tool_calls" not in message:
        return message
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        arguments = function["arguments"]
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        calls.append({**call, "function": {**function, "arguments": arguments}})
    return {**message, "tool_calls": calls}


def _pairs(turns: list[dict[str, Any]]) -> list[list[str]]:
    """Turns as [question, answer] pairs; neighbours of one role are joined."""
    pairs: list[list[str]] = []
    last_role = ""
    for turn in turns:
        content = turn["content"]
        if turn["role"] == "user" and last_role != "user":
            pairs.append([content, ""])
        elif not pairs:
            pairs.append(["", content])
        else:
            side = 0 if turn["role"] == "user" else 1
            pairs[-1][side] = f"{pairs[-1][side]}\n\n{content}" if pairs[-1][side] else content
        last_role = turn["role"]
    return pairs
