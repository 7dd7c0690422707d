"""The formats of an uploaded row: how each is recognised, checked and read.

alpaca             instruction, input, output; optional system and history
sharegpt           conversations of from and value
openai             messages of role and content, with tools; a canonical row of Academy is one too
prompt-completion  prompt and completion, as texts or as messages (TRL)
preference         prompt, chosen and rejected (TRL), as texts or as messages; without prompt, two
                   conversations that differ in their last answer only

Codes are those of OpenAI's own check for chat fine-tuning files (its cookbook, "Data preparation
and analysis for chat model fine-tuning") where it has one for the mistake.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_call": "assistant",
}
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_MESSAGE_KEYS = frozenset(
    {
        "role",
        "content",
        "name",
        "weight",
        "tool_calls",
        "tool_call_id",
        "function_call",
        "refusal",
        "annotations",
        "thinking",
        "reasoning_content",
    }
)
_MAX_TURNS = 1_000

Pair = tuple[str, str]


@dataclass(frozen=True)
class Problem:
    """One mistake: its line (from 1), its place in it (RFC 6901), a stable code, and the reason."""

    line: int
    pointer: str
    code: str
    reason: str


class _Bad(Exception):
    """A mistake that ends the reading of a row."""

    def __init__(self, pointer: str, code: str, reason: str) -> None:
        super().__init__(reason)
        self.pointer, self.code, self.reason = pointer, code, reason


def detect(value: Any) -> str | None:
    """The format that an object's keys speak of, or None."""
    if not isinstance(value, dict):
        return None
    if "messages" in value:
        return "openai"
    if "conversations" in value:
        return "sharegpt"
    if "chosen" in value or "rejected" in value:
        return "preference"
    if "completion" in value:
        return "prompt-completion"
    if "instruction" in value or "output" in value:
        return "alpaca"
    return None


def check(value: Any, format: str | None, line: int) -> list[Problem]:
    """What is wrong with a row of a file in `format`; empty when nothing is."""
    try:
        if not isinstance(value, dict):
            raise _Bad("", "data_type", f"expected an object, found {_kind(value)}")
        found = detect(value)
        if found is None or format is None:
            keys = ", ".join(sorted(map(str, value))[:8]) or "none"
            raise _Bad("", "unknown_format", f"no known format has these keys: {keys}")
        if found != format:
            raise _Bad("", "mixed_formats", f"this line is {found}, the first one was {format}")
        _check_turns(messages_of(value, format))
    except _Bad as bad:
        return [Problem(line, bad.pointer, bad.code, bad.reason)]
    except RecursionError:
        return [Problem(line, "", "data_type", "it is nested too deeply")]
    return []


def messages_of(value: dict[str, Any], format: str) -> list[Pair]:
    """The row's messages as (role, text), with system, user and assistant as the only roles.

    A tool's call and answer become text: what the assistant called, as JSON, and what came back, as
    a user's message, so that every chat template can show them.
    """
    readers: dict[str, Callable[[dict[str, Any]], list[Pair]]] = {
        "alpaca": _of_alpaca,
        "sharegpt": _of_sharegpt,
        "openai": lambda row: _of_messages(row["messages"], "/messages"),
        "prompt-completion": lambda row: _of_prompt(row, "completion"),
        "preference": _of_preference,
    }
    return readers[format](value)


def _of_alpaca(value: dict[str, Any]) -> list[Pair]:
    instruction = _text(value, "instruction", "")
    given = _text(value, "input", "") if value.get("input") is not None else ""
    answer = _text(value, "output", "")
    turns: list[Pair] = []
    if value.get("system"):
        turns.append(("system", _text(value, "system", "")))
    history = value.get("history") or []
    if not isinstance(history, list):
        raise _Bad("/history", "data_type", f"expected a list, found {_kind(history)}")
    for at, pair in enumerate(history):
        if not (
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(p, str) for p in pair)
        ):
            raise _Bad(f"/history/{at}", "data_type", "expected [question, answer], two texts")
        turns += [("user", _clean(pair[0], "")), ("assistant", _clean(pair[1], ""))]
    question = f"{instruction}\n\n{given}" if instruction and given else instruction or given
    return [*turns, ("user", question), ("assistant", answer)]


def _of_sharegpt(value: dict[str, Any]) -> list[Pair]:
    turns: list[Pair] = []
    if value.get("system"):
        turns.append(("system", _text(value, "system", "")))
    for at, each in enumerate(_list(value, "conversations")):
        pointer = f"/conversations/{at}"
        if not isinstance(each, dict):
            raise _Bad(pointer, "data_type", f"expected an object, found {_kind(each)}")
        speaker = each.get("from")
        if not isinstance(speaker, str) or speaker not in _SHAREGPT_ROLES:
            known = ", ".join(sorted(_SHAREGPT_ROLES))
            reason = f"{_short(speaker)} is none of {known}"
            raise _Bad(f"{pointer}/from", "unrecognized_role", reason)
        role = _SHAREGPT_ROLES[speaker]
        text = _text(each, "value", pointer)
        turns.append(("user", f"Tool result:\n{text}") if role == "tool" else (role, text))
    return turns


def _of_prompt(value: dict[str, Any], answer: str) -> list[Pair]:
    return [*_side(value, "prompt", "user"), *_side(value, answer, "assistant")]


def pair_of(value: dict[str, Any]) -> tuple[list[Pair], str, str]:
    """A preference row as the turns of its prompt, the chosen answer and the rejected one."""
    before = _side(value, "prompt", "user") if "prompt" in value else []
    sides = {key: _side(value, key, "assistant") for key in ("chosen", "rejected")}
    for key, turns in sides.items():
        if turns[-1][0] != "assistant":
            raise _Bad(f"/{key}", "example_missing_assistant_message", "it must end with an answer")
        if turns[:-1] != sides["chosen"][:-1]:
            raise _Bad(f"/{key}", "different_prompts", "chosen and rejected answer other questions")
    prompt = [*before, *sides["chosen"][:-1]]
    if not prompt or prompt[-1][0] != "user":
        reason = "the answers must follow a user's message"
        raise _Bad("/prompt", "example_missing_user_message", reason)
    chosen, rejected = sides["chosen"][-1][1], sides["rejected"][-1][1]
    if not rejected.strip():
        raise _Bad("/rejected", "missing_content", "the answer is empty")
    if chosen.split() == rejected.split():
        raise _Bad("/rejected", "identical_answers", "it is the chosen answer again")
    return prompt, chosen, rejected


def _of_preference(value: dict[str, Any]) -> list[Pair]:
    turns, chosen, _ = pair_of(value)
    return [*turns, ("assistant", chosen)]


def _side(value: dict[str, Any], key: str, role: str) -> list[Pair]:
    if isinstance(value.get(key), list):
        return _of_messages(value[key], f"/{key}")
    return [(role, _text(value, key, ""))]


def _of_messages(messages: Any, pointer: str) -> list[Pair]:
    if not isinstance(messages, list) or not messages:
        reason = f"expected a list of messages, found {_kind(messages)}"
        raise _Bad(pointer, "missing_messages_list", reason)
    if len(messages) > _MAX_TURNS:
        raise _Bad(pointer, "too_many_messages", f"{len(messages)} messages; at most {_MAX_TURNS}")
    return [_of_message(each, f"{pointer}/{at}") for at, each in enumerate(messages)]


def _of_message(message: Any, pointer: str) -> Pair:
    if not isinstance(message, dict):
        raise _Bad(pointer, "data_type", f"expected an object, found {_kind(message)}")
    if "role" not in message:
        raise _Bad(pointer, "message_missing_key", "there is no role")
    role = message["role"]
    if not isinstance(role, str) or role not in _ROLES:
        reason = f"{_short(role)} is none of {', '.join(sorted(_ROLES))}"
        raise _Bad(f"{pointer}/role", "unrecognized_role", reason)
    unknown = sorted(str(key) for key in message if key not in _MESSAGE_KEYS)
    if unknown:
        key = unknown[0].replace("~", "~0").replace("/", "~1")
        reason = f"{_short(unknown[0])} is no key of a message"
        raise _Bad(f"{pointer}/{key}", "message_unrecognized_key", reason)
    calls = message.get("tool_calls") or message.get("function_call")
    text = _content(message, pointer, needed=not calls)
    if role == "assistant" and calls:
        return "assistant", "\n".join(filter(None, [text, _calls(calls, f"{pointer}/tool_calls")]))
    if role in ("tool", "function"):
        name = message.get("name")
        return "user", f"Tool result{f' ({name})' if isinstance(name, str) else ''}:\n{text}"
    return ("system" if role == "developer" else role), text


def _content(message: dict[str, Any], pointer: str, *, needed: bool) -> str:
    content = message.get("content")
    if content is None and not needed:
        return ""
    if isinstance(content, list):
        texts = []
        for at, part in enumerate(content):
            if not (isinstance(part, dict) and isinstance(part.get("text"), str)):
                raise _Bad(f"{pointer}/content/{at}", "data_type", "only parts with text are read")
            texts.append(part["text"])
        return _clean("\n".join(texts), f"{pointer}/content")
    if not isinstance(content, str):
        reason = f"expected a text, found {_kind(content)}"
        raise _Bad(f"{pointer}/content", "missing_content", reason)
    return _clean(content, f"{pointer}/content")


def _calls(calls: Any, pointer: str) -> str:
    """What the assistant called, as one line of JSON a call."""
    lines = []
    for at, call in enumerate(calls if isinstance(calls, list) else [calls]):
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _Bad(f"{pointer}/{at}", "data_type", "expected a call with a function's name")
        called = {"name": function["name"], "arguments": function.get("arguments", {})}
        lines.append(json.dumps(called, ensure_ascii=False, sort_keys=True, default=str))
    return _clean("\n".join(lines), pointer)


def _check_turns(turns: list[Pair]) -> None:
    if not any(role == "user" and text.strip() for role, text in turns[:-1]):
        raise _Bad("", "example_missing_user_message", "no question comes before the answer")
    if turns[-1][0] != "assistant":
        reason = "the last message must be the assistant's, as that is what is learned"
        raise _Bad("", "example_missing_assistant_message", reason)
    if not turns[-1][1].strip():
        raise _Bad("", "missing_content", "the answer is empty")


def _list(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    if not isinstance(found, list) or not found:
        reason = f"expected a list of turns, found {_kind(found)}"
        raise _Bad(f"/{key}", "missing_messages_list", reason)
    if len(found) > _MAX_TURNS:
        raise _Bad(f"/{key}", "too_many_messages", f"{len(found)} turns; at most {_MAX_TURNS}")
    return found


def _text(value: dict[str, Any], key: str, pointer: str) -> str:
    if key not in value:
        raise _Bad(pointer, "message_missing_key", f"there is no {key}")
    if not isinstance(value[key], str):
        reason = f"expected a text, found {_kind(value[key])}"
        raise _Bad(f"{pointer}/{key}", "data_type", reason)
    return _clean(value[key], f"{pointer}/{key}")


def _clean(text: str, pointer: str) -> str:
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise _Bad(pointer, "invalid_encoding", "it holds half of a surrogate pair")
    return text


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    if value is None:
        return "nothing"
    if value == [] and isinstance(value, list):
        return "an empty list"
    return names.get(type(value), "a number")


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
