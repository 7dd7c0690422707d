"""What earlier datasets decided: which side a group lies on, and what was held out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from academy.basemodels.conversation import text_of
from academy.curation.split.heldout import HeldOut
from academy.curation.spool import hash64, turns_of


class Sides(Protocol):
    """Where the sides of the split are remembered, by the 64-bit key of a group (or a commit)."""

    def known(self, keys: Sequence[int]) -> dict[int, bool]:
        """Of those of `keys` that were decided before, whether they are held out."""
        ...

    def decide(self, sides: Mapping[int, bool]) -> None:
        """Remember these for ever; what somebody else has decided meanwhile stays as it is."""
        ...


class SidesInMemory:
    """Sides for one run, from a mapping of what was decided before."""

    def __init__(self, decided: Mapping[int, bool] | None = None) -> None:
        self._decided = dict(decided or {})

    def known(self, keys: Sequence[int]) -> dict[int, bool]:
        return {key: self._decided[key] for key in keys if key in self._decided}

    def decide(self, sides: Mapping[int, bool]) -> None:
        for key, held_out in sides.items():
            self._decided.setdefault(key, held_out)


@dataclass(frozen=True)
class PreviousSplits:
    """What a curation must hold to; without arguments nothing was decided before, and what it
    decides is not remembered.
    """

    sides: Sides | None = None
    held_out: HeldOut = field(default_factory=HeldOut)


def read_previous_splits(
    folders: Sequence[Path], tick: Callable[[], None] = lambda: None
) -> PreviousSplits:
    """What the datasets in these folders decided.

    Held out once is held out for ever, in whichever order the folders are named.
    """
    decided: dict[int, bool] = {}
    held_out = HeldOut()
    for folder in folders:
        for name, held in (("train.jsonl", False), ("heldout.jsonl", True)):
            with (folder / name).open(encoding="utf-8") as stream:
                for line in stream:
                    tick()
                    row = json.loads(line)
                    own = hash64(row["id"] if row["source"] == "git" else row["group"])
                    for key in (own, *turns_of(row["source"], _messages(row))):
                        decided[key] = decided.get(key, False) or held
        add_held_out(held_out, folder, tick)
    return PreviousSplits(SidesInMemory(decided), held_out)


def add_held_out(held_out: HeldOut, folder: Path, tick: Callable[[], None] = lambda: None) -> None:
    """Sketch the held-out rows of the dataset in `folder`."""
    with (folder / "heldout.jsonl").open(encoding="utf-8") as stream:
        for line in stream:
            tick()
            row = json.loads(line)
            held_out.add(row["id"], said_in(row))


def _messages(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a canonical row with the answer that a pair has beside them."""
    answer = [{"role": "assistant", "content": row["chosen"]}] if "chosen" in row else []
    return [*row["messages"], *answer]


def said_in(row: Mapping[str, Any]) -> str:
    """All that is said in a canonical row, as `spool.content_of` has it."""
    said = [text_of(each) for each in row["messages"]]
    return "\n".join([*said, *(row[name] for name in ("chosen", "rejected") if name in row)])
