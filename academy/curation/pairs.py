"""Preference pairs: an accepted and a rejected run on the same prompt.

The runs wait on disk; in memory there are some 80 bytes of each. A run is part of one pair at
most, so a prompt that was tried a hundred times does not count a hundred times, and what is left
over is counted like any other dropped record.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from academy.basemodels.conversation import text_of
from academy.curation.sources import Row, comparable
from academy.curation.spool import Spool, hash64


class Pairing:
    """Collects judged runs and pairs them. Use it as a context."""

    def __init__(self, path: Path) -> None:
        self._spool = Spool(path)
        self._prompts = array("Q")
        self._accepted = array("B")
        self._rewards = array("d")

    def __enter__(self) -> Pairing:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def add(self, row: Row, reward: float | None, *, accepted: bool) -> None:
        """Take a run in; without a reward it counts as the worst."""
        self._spool.append(row)
        asked = [[each["role"], comparable(text_of(each)).strip()] for each in row.messages[:-1]]
        self._prompts.append(hash64(json.dumps(asked)))
        self._accepted.append(accepted)
        self._rewards.append(-1.0 if reward is None else reward)

    def pairs(self, tick: Callable[[], None]) -> Iterator[tuple[Row, str | None]]:
        """Each pair as one row with None, and each run that is left over with the reason.

        On each prompt the best accepted run is paired with the worst rejected one, the second best
        with the second worst, and so on; equal rewards go by the hash of the run's id, so the pairs
        do not depend on the order in which runs came.
        """
        self._spool.flush()
        for _, group in groupby(self._in_order(), key=lambda at: self._prompts[at]):
            members = list(group)
            accepted = [at for at in members if self._accepted[at]]
            rejected = [at for at in reversed(members) if not self._accepted[at]]
            for chosen, other in zip(accepted, rejected, strict=False):
                tick()
                yield pair_of(self._spool.read(chosen), self._spool.read(other)), None
            missing = "rejected" if len(accepted) > len(rejected) else "accepted"
            both = min(len(accepted), len(rejected))
            for at in (*accepted[both:], *rejected[both:]):
                tick()
                yield self._spool.read(at), f"no {missing} run on its prompt is left"

    def _in_order(self) -> Sequence[int]:
        """By prompt, the best run first."""
        import numpy as np

        ties = np.frombuffer(self._spool.ties, dtype=np.uint64)
        rewards = np.frombuffer(self._rewards, dtype=np.float64)
        prompts = np.frombuffer(self._prompts, dtype=np.uint64)
        order: list[int] = np.lexsort((ties, -rewards, prompts)).tolist()
        return order


def pair_of(chosen: Row, rejected: Row) -> Row:
    """The pair of two runs, in the chosen run's group and as late as the later of them."""
    return replace(
        chosen,
        id=f"pair:{chosen.id.removeprefix('run:')}+{rejected.id.removeprefix('run:')}",
        time=max(chosen.time, rejected.time),
        provenance={"chosen": chosen.provenance, "rejected": rejected.provenance},
        rejected=rejected.answer,
        records=chosen.records + rejected.records,
    )
