"""The rows of a dataset folder: conversations with their answer, or with two to choose from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from academy.basemodels.conversation import ROLES, text_of
from academy.trainer.spec import BadDataset


@dataclass(frozen=True)
class Row:
    """One conversation; its last message is the assistant's.

    `messages` and `tools` are as in `academy.basemodels.conversation`; an answer of ``weight`` 0 is
    not learnt.
    """

    id: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class PreferenceRow:
    """A prompt whose last message is the user's, a better answer to it and a worse one."""

    id: str
    messages: tuple[dict[str, Any], ...]
    chosen: str
    rejected: str
    tools: tuple[dict[str, Any], ...] = ()


AnyRow = Row | PreferenceRow


def read_rows(path: Path, method: str = "sft") -> list[AnyRow]:
    """The rows of a JSONL file of canonical rows, of the kind that the recipe's `method` learns.

    Raises `BadDataset` naming file and line, also for rows of the other kind.
    """
    return list(_rows(path, _preference_row if method == "dpo" else _row))


def choose_rows(rows: list[AnyRow], limit: int, seed: int) -> list[AnyRow]:
    """At most `limit` rows, the same ones for the same seed whatever else is in the file."""
    if len(rows) <= limit:
        return rows
    chosen = {row.id for row in sorted(rows, key=lambda row: _rank(row.id, seed))[:limit]}
    return [row for row in rows if row.id in chosen]


def halve(rows: list[AnyRow], seed: int) -> tuple[list[AnyRow], list[AnyRow]]:
    """Two halves by the hash of the ids: one to choose the best adapter by, one to prove it on."""
    ranked = sorted(rows, key=lambda row: _rank(row.id, seed))
    first = {row.id for row in ranked[: len(ranked) // 2]}
    return [row for row in rows if row.id in first], [row for row in rows if row.id not in first]


def _rank(row_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{row_id}".encode()).digest()


def _rows(path: Path, parse: Callable[[Any], AnyRow]) -> Iterator[AnyRow]:
    seen: set[str] = set()
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = parse(json.loads(line))
            except ValueError as error:
                raise BadDataset(detail=f"{path.name} line {number}: {error}") from error
            if row.id in seen:
                raise BadDataset(detail=f"{path.name} line {number}: the id {row.id!r} is repeated")
            seen.add(row.id)
            yield row


def _row(body: Any) -> AnyRow:
    """Check one conversation; raises `ValueError` with what is wrong."""
    messages = _messages(body)
    if "chosen" in body or "rejected" in body:
        raise ValueError(
            f"row {body['id']!r} is a preference pair, which method 'dpo' learns from; method "
            "'sft' wants conversations that end with the assistant's answer"
        )
    if messages[-1]["role"] != "assistant" or not text_of(messages[-1]).strip():
        raise ValueError(f"row {body['id']!r} does not end with an assistant's answer")
    return Row(body["id"], messages, _tools(body))


def _preference_row(body: Any) -> AnyRow:
    """Check one preference pair; raises `ValueError` with what is wrong."""
    messages = _messages(body)
    if "chosen" not in body and "rejected" not in body:
        raise ValueError(
            f"row {body['id']!r} has no 'chosen' and 'rejected' answer, which method 'dpo' learns "
            "from; use a dataset of preference pairs, or method 'sft' for conversations"
        )
    if messages[-1]["role"] not in ("user", "tool"):
        raise ValueError(f"the prompt of row {body['id']!r} does not end with the user's message")
    for name in ("chosen", "rejected"):
        if not isinstance(body.get(name), str) or not body[name].strip():
            raise ValueError(f"row {body['id']!r} has no text in {name!r}")
    return PreferenceRow(body["id"], messages, body["chosen"], body["rejected"], _tools(body))


def _messages(body: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        raise ValueError("a row is an object with a text 'id'")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"row {body['id']!r} has no list of 'messages'")
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise ValueError(f"row {body['id']!r} has a message without a role of {sorted(ROLES)}")
        if not isinstance(message.get("content"), str):
            raise ValueError(f"row {body['id']!r} has a message whose 'content' is not text")
        if not all(map(_is_function, message.get("tool_calls") or ())):
            raise ValueError(f"row {body['id']!r} has a call without a function's name")
    return tuple(messages)


def _tools(body: Any) -> tuple[dict[str, Any], ...]:
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(map(_is_function, tools)):
        raise ValueError(f"row {body['id']!r} has 'tools' that are no list of functions")
    return tuple(tools)


def _is_function(value: Any) -> bool:
    function = value.get("function") if isinstance(value, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)
