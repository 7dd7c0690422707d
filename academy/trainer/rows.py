"""The rows of a dataset folder: conversations that end with the assistant's answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from academy.trainer.spec import BadDataset

ROLES = frozenset({"system", "user", "assistant"})


@dataclass(frozen=True)
class Row:
    """One conversation; each message has a `role` and a `content`, the last is the assistant's."""

    id: str
    messages: tuple[dict[str, str], ...]


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file of canonical rows; raises `BadDataset` naming file and line."""
    return list(_rows(path))


def choose_rows(rows: list[Row], limit: int, seed: int) -> list[Row]:
    """At most `limit` rows, the same ones for the same seed whatever else is in the file."""
    if len(rows) <= limit:
        return rows
    chosen = {row.id for row in sorted(rows, key=lambda row: _rank(row.id, seed))[:limit]}
    return [row for row in rows if row.id in chosen]


def halve(rows: list[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """Two halves by the hash of the ids: one to choose the best adapter by, one to prove it on."""
    ranked = sorted(rows, key=lambda row: _rank(row.id, seed))
    first = {row.id for row in ranked[: len(ranked) // 2]}
    return [row for row in rows if row.id in first], [row for row in rows if row.id not in first]


def _rank(row_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{row_id}".encode()).digest()


def _rows(path: Path) -> Iterator[Row]:
    seen: set[str] = set()
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = _row(json.loads(line))
            except ValueError as error:
                raise BadDataset(detail=f"{path.name} line {number}: {error}") from error
            if row.id in seen:
                raise BadDataset(detail=f"{path.name} line {number}: the id {row.id!r} is repeated")
            seen.add(row.id)
            yield row


def _row(body: Any) -> Row:
    """Check one row; raises `ValueError` with what is wrong."""
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
    if messages[-1]["role"] != "assistant" or not messages[-1]["content"].strip():
        raise ValueError(f"row {body['id']!r} does not end with an assistant's answer")
    plain = tuple({"role": each["role"], "content": each["content"]} for each in messages)
    return Row(body["id"], plain)
