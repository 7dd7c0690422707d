"""The formats of an uploaded row: how each is recognised, checked and read.

alpaca             instruction, input, output; optional system and history
sharegpt           conversations of from and value; optional system and tools
openai             messages of role and content, with tools; a canonical row of Academy is one too
prompt-completion  prompt and completion, as texts or as messages (TRL)
preference         prompt, chosen and rejected (TRL), as texts or as messages; without prompt, two
                   conversations that differ in their last answer only

Codes are those of OpenAI's own check for chat fine-tuning files (its cookbook, "Data preparation
and analysis for chat model fine-tuning") where it has one for the mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from academy.basemodels.conversation import text_of
from academy.curation.sources import comparable
from academy.curation.uploads.conversations import (
    MAX_TURNS,
    Bad,
    Message,
    Reader,
    clean_text,
    inner_json,
    kind_of,
    shown,
)

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
#: What every row may have, whatever its format.
_EVERYWHERE = frozenset({"id", "weight"})


@dataclass(frozen=True)
class Problem:
    """One mistake: its line (from 1), its place in it (RFC 6901), a stable code, and the reason."""

    line: int
    pointer: str
    code: str
    reason: str


@dataclass(frozen=True)
class Conversation:
    """A row as it was read: messages as in `academy.basemodels.conversation`, the last of which is
    the answer, the tools that could be called, and a pair's other answer. `ignored` counts what was
    there and is not used, by its place.
    """

    messages: list[Message]
    tools: list[Message] = field(default_factory=list)
    rejected: str | None = None
    ignored: Counter[str] = field(default_factory=Counter)


def detect(value: Any) -> str | None:
    """The format that an object's keys speak of, or None."""
    if not isinstance(value, dict):
        return None
    if "chosen" in value and "rejected" in value:
        return "preference"
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


def read_row(value: Any, format: str | None, line: int) -> Conversation | Problem:
    """The conversation in a row of a file in `format`, or what is wrong with it."""
    try:
        if not isinstance(value, dict):
            raise Bad("", "data_type", f"expected an object, found {kind_of(value)}")
        found = detect(value)
        if found is None or format is None:
            keys = ", ".join(sorted(map(str, value))[:8]) or "none"
            raise Bad("", "unknown_format", f"no known format has these keys: {shown(keys)}")
        if found != format:
            raise Bad("", "mixed_formats", f"this line is {found}, the first one was {format}")
        conversation = _READERS[format](value, reader := Reader())
        if reader.weight(value, ""):
            for message in conversation.messages:
                if message["role"] == "assistant":
                    message["weight"] = 0
        _check_turns(conversation.messages)
    except Bad as bad:
        return Problem(line, bad.pointer, bad.code, bad.reason)
    except RecursionError:
        return Problem(line, "", "data_type", "it is nested too deeply")
    return conversation


def _of_alpaca(value: dict[str, Any], reader: Reader) -> Conversation:
    instruction = _text(value, "instruction", "")
    given = _text(value, "input", "") if value.get("input") is not None else ""
    answer = _text(value, "output", "")
    turns = _system(value)
    history = value.get("history")
    history = [] if history is None else history
    if not isinstance(history, list):
        raise Bad("/history", "data_type", f"expected a list, found {kind_of(history)}")
    for at, pair in enumerate(history):
        if not (
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(p, str) for p in pair)
        ):
            raise Bad(f"/history/{at}", "data_type", "expected [question, answer], two texts")
        turns += [
            _turn("user", clean_text(pair[0], f"/history/{at}/0")),
            _turn("assistant", clean_text(pair[1], f"/history/{at}/1")),
        ]
    question = f"{instruction}\n\n{given}" if instruction and given else instruction or given
    reader.rest(value, {"instruction", "input", "output", "system", "history", *_EVERYWHERE})
    messages = [*turns, _turn("user", question), _turn("assistant", answer)]
    return Conversation(messages, ignored=reader.ignored)


def _of_sharegpt(value: dict[str, Any], reader: Reader) -> Conversation:
    turns = _system(value)
    found = value.get("conversations")
    if not isinstance(found, list) or not found:
        reason = f"expected a list of turns, found {kind_of(found)}"
        raise Bad("/conversations", "missing_messages_list", reason)
    if len(found) > MAX_TURNS:
        reason = f"{len(found)} turns; at most {MAX_TURNS}"
        raise Bad("/conversations", "too_many_messages", reason)
    for at, each in enumerate(found):
        turns.append(_sharegpt_turn(each, f"/conversations/{at}", reader))
    tools = reader.tools(value)
    reader.rest(value, {"conversations", "system", "tools", "functions", *_EVERYWHERE})
    return Conversation(turns, tools, ignored=reader.ignored)


def _sharegpt_turn(found: Any, pointer: str, reader: Reader) -> Message:
    if not isinstance(found, dict):
        raise Bad(pointer, "data_type", f"expected an object, found {kind_of(found)}")
    speaker = found.get("from")
    if not isinstance(speaker, str) or speaker not in _SHAREGPT_ROLES:
        known = ", ".join(sorted(_SHAREGPT_ROLES))
        raise Bad(f"{pointer}/from", "unrecognized_role", f"{shown(speaker)} is none of {known}")
    turn = _turn(_SHAREGPT_ROLES[speaker], _text(found, "value", pointer))
    if turn["role"] == "assistant":
        turn |= reader.weight(found, pointer)
    elif "weight" in found:
        reader.weight(found, pointer)
        reader.ignored["/conversations/*/weight"] += 1
    if speaker == "function_call" and (calls := _json_of(turn["content"])) is not None:
        turn |= {"content": "", "tool_calls": reader.calls(calls, f"{pointer}/value")}
    for key in found.keys() - {"from", "value", "weight"}:
        reader.ignored[f"/conversations/*/{shown(key)[1:-1]}"] += 1
    return turn


def _of_openai(value: dict[str, Any], reader: Reader) -> Conversation:
    messages = reader.messages(value["messages"], "/messages")
    tools = reader.tools(value)
    # A canonical row of Academy's own has where it came from, which is noted anew.
    known = {"messages", "tools", "functions", "source", "group", "provenance", *_EVERYWHERE}
    reader.rest(value, known)
    return Conversation(messages, tools, ignored=reader.ignored)


def _of_prompt(value: dict[str, Any], reader: Reader) -> Conversation:
    messages = [
        *_system(value),
        *_side(value, "prompt", "user", reader),
        *_side(value, "completion", "assistant", reader),
    ]
    tools = reader.tools(value)
    reader.rest(value, {"system", "prompt", "completion", "tools", "functions", *_EVERYWHERE})
    return Conversation(messages, tools, ignored=reader.ignored)


def _of_preference(value: dict[str, Any], reader: Reader) -> Conversation:
    """A preference row: the turns of its prompt, the chosen answer and the rejected one."""
    known = {"system", "prompt", "chosen", "rejected", "tools", "functions", *_EVERYWHERE}
    if "prompt" in value:
        before = _side(value, "prompt", "user", reader)
    elif isinstance(value.get("chosen"), str) and "messages" in value:
        before = reader.messages(value["messages"], "/messages")  # a canonical pair of Academy's
        known |= {"messages", "source", "group", "provenance"}
    else:
        before = []
    sides = {key: _side(value, key, "assistant", reader) for key in ("chosen", "rejected")}
    for key, turns in sides.items():
        if turns[-1]["role"] != "assistant":
            raise Bad(f"/{key}", "example_missing_assistant_message", "it must end with an answer")
        if turns[:-1] != sides["chosen"][:-1]:
            raise Bad(f"/{key}", "different_prompts", "chosen and rejected answer other questions")
    asked = sides["chosen"][:-1]
    # Some files have the prompt by itself, and both conversations begin with it again.
    prompt = [*_system(value), *(asked if asked[: len(before)] == before else [*before, *asked])]
    if not prompt or prompt[-1]["role"] not in ("user", "tool"):
        reason = "the answers must follow a user's message"
        raise Bad("/prompt", "example_missing_user_message", reason)
    chosen, rejected = (text_of(sides[key][-1]) for key in ("chosen", "rejected"))
    if not rejected.strip():
        raise Bad("/rejected", "missing_content", "the answer is empty")
    if comparable(chosen) == comparable(rejected):
        raise Bad("/rejected", "identical_answers", "it is the chosen answer again")
    tools = reader.tools(value)
    reader.rest(value, known)
    if "weight" in sides["rejected"][-1]:
        reader.ignored["/rejected/*/weight"] += 1
    weight = sides["chosen"][-1].get("weight", 1)
    answer = _turn("assistant", chosen) | ({"weight": 0} if weight == 0 else {})
    return Conversation([*prompt, answer], tools, rejected, reader.ignored)


_READERS: dict[str, Callable[[dict[str, Any], Reader], Conversation]] = {
    "alpaca": _of_alpaca,
    "sharegpt": _of_sharegpt,
    "openai": _of_openai,
    "prompt-completion": _of_prompt,
    "preference": _of_preference,
}


def _side(value: dict[str, Any], key: str, role: str, reader: Reader) -> list[Message]:
    if isinstance(value.get(key), list):
        return reader.messages(value[key], f"/{key}")
    return [_turn(role, _text(value, key, ""))]


def _system(value: dict[str, Any]) -> list[Message]:
    system = _text(value, "system", "") if value.get("system") is not None else ""
    return [_turn("system", system)] if system else []


def _turn(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def _check_turns(turns: list[Message]) -> None:
    if not any(each["role"] == "user" and each["content"].strip() for each in turns[:-1]):
        raise Bad("", "example_missing_user_message", "no question comes before the answer")
    if turns[-1]["role"] != "assistant":
        reason = "the last message must be the assistant's, as that is what is learned"
        raise Bad("", "example_missing_assistant_message", reason)
    if not text_of(turns[-1]).strip():
        raise Bad("", "missing_content", "the answer is empty")


def _json_of(text: str) -> Any:
    """A call, or a list of calls, where the text is JSON of that; else None."""
    found = inner_json(text, "/conversations")
    calls = found if isinstance(found, list) else [found]
    named = all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in calls)
    return found if calls and named else None


def _text(value: dict[str, Any], key: str, pointer: str) -> str:
    if key not in value:
        raise Bad(pointer, "message_missing_key", f"there is no {key}")
    if not isinstance(value[key], str):
        reason = f"expected a text, found {kind_of(value[key])}"
        raise Bad(f"{pointer}/{key}", "data_type", reason)
    return clean_text(value[key], f"{pointer}/{key}")
