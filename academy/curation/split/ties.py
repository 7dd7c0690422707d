"""Rows that say the same somewhere, which the split must not tear apart.

A held-out conversation whose beginning, or one of whose answers to the same message, is trained on
proves nothing, and the other way round it is the same. So rows that share their opening, or an
answer together with what it answers (`academy.curation.spool.turns_of`), belong together, across
groups, sources and datasets.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from academy.curation.split.decisions import Decisions
from academy.curation.spool import Spool

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


_HELD_OUT, _TRAINED, _BOTH = frozenset({True}), frozenset({False}), frozenset({True, False})


class Turns:
    """What rows say, in arrays of 12 bytes a turn: `turns` (64-bit hashes), and for each of them
    the index of its row, its owner. Without arguments there are none.
    """

    def __init__(self, turns: ArrayLike = (), owners: ArrayLike = ()) -> None:
        import numpy as np

        order = np.argsort(np.asarray(turns, dtype=np.uint64), kind="stable")
        self._turns = np.asarray(turns, dtype=np.uint64)[order]
        self._owners = np.asarray(owners, dtype=np.uint32)[order]

    @classmethod
    def of(cls, spool: Spool, rows: Sequence[int]) -> Turns:
        """Those of the `rows` (indexes in the spool)."""
        import numpy as np

        kept = np.zeros(len(spool), dtype=bool)
        kept[list(rows)] = True
        counts = np.frombuffer(spool.turn_counts, dtype=np.uint16)
        owners = np.repeat(np.arange(len(spool), dtype=np.uint32), counts)
        turns = np.frombuffer(spool.turns, dtype=np.uint64)
        return cls(turns[kept[owners]], owners[kept[owners]])

    def keys(self) -> Any:
        """Each turn once, in order."""
        import numpy as np

        return np.unique(self._turns)

    def tied(self) -> dict[int, int]:
        """For each row that has a turn in common with another one, the number of a row that is the
        same for all that hang together.
        """
        import numpy as np

        equal = np.flatnonzero(self._turns[1:] == self._turns[:-1])
        parents: dict[int, int] = {}
        pairs = zip(self._owners[equal].tolist(), self._owners[equal + 1].tolist(), strict=True)
        for left, right in pairs:
            first, second = sorted((_root(parents, left), _root(parents, right)))
            parents.setdefault(first, first)
            parents[second] = first
        return {row: _root(parents, row) for row in list(parents)}

    def sides_of_rows(self, decided: Decisions) -> dict[int, frozenset[bool]]:
        """For each row that says something of which a side is decided, this or both of them."""
        import numpy as np

        known, held_out = decided.sides_of(self._turns)
        held = np.unique(self._owners[held_out])
        trained = np.unique(self._owners[known & ~held_out])
        found = dict.fromkeys(trained.tolist(), _TRAINED)
        found.update(dict.fromkeys(held.tolist(), _HELD_OUT))
        found.update(dict.fromkeys(np.intersect1d(held, trained).tolist(), _BOTH))
        return found

    def sides(self, held_out: Collection[int], but: Collection[int]) -> Decisions:
        """The side of each turn, that of its row; rows in `but` lie on none."""
        import numpy as np

        lies = ~np.isin(self._owners, np.fromiter(but, dtype=np.uint32, count=len(but)))
        held = np.isin(self._owners, np.fromiter(held_out, dtype=np.uint32, count=len(held_out)))
        return Decisions(self._turns[lies], held[lies])


def _root(parents: dict[int, int], row: int) -> int:
    while (above := parents.get(row, row)) != row:
        parents[row] = parents.get(above, above)  # shortens the way for those who come later
        row = above
    return row
