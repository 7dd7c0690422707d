"""What became of a commit: an example, or the filter that dropped it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from academy.curation.sources import Row


@dataclass(frozen=True)
class Dropped:
    """A commit that a filter dropped: which one, what it matched, and a name for the sample."""

    id: str
    filter: str
    matched: str
    text: str


@dataclass(frozen=True)
class Example:
    """A commit that passed, as a row, with the author to be masked in it."""

    row: Row
    author: str


Outcome = Example | Dropped


def to_json(outcome: Outcome) -> str:
    """One line of JSON; `from_json` reads it."""
    if isinstance(outcome, Dropped):
        values = [outcome.id, outcome.filter, outcome.matched, outcome.text]
        return json.dumps(["dropped", values], ensure_ascii=False)
    row = outcome.row
    fields = [row.id, row.messages, row.source, row.group, row.time, row.provenance]
    return json.dumps(["example", fields, outcome.author], ensure_ascii=False)


def from_json(line: str) -> Outcome:
    """The outcome that `to_json` wrote."""
    kind, values, *author = json.loads(line)
    if kind == "dropped":
        return Dropped(*values)
    id, messages, source, group, time, provenance = values
    return Example(Row(id, tuple(messages), source, group, time, provenance), author[0])
