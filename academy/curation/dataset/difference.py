"""How two datasets differ: in their rows, their configuration and their statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from academy.curation.dataset.row_table import RowTable

Kind = Literal["added", "removed", "changed", "moved"]


@dataclass(frozen=True)
class RowDifference:
    """Which rows differ, as entries of the two tables, in the order of their datasets.

    `added` are entries of b and `removed` of a; `changed` (the same id says something else) and
    `moved` (the same row is on the other side of the split) are pairs of an entry of a and one of
    b, of shape (rows, 2). A row that changed and moved is in both.
    """

    added: Any
    removed: Any
    changed: Any
    moved: Any
    unchanged: int

    def counts(self) -> dict[str, int]:
        """How many rows there are of each kind; `unchanged` ones may have moved."""
        return {
            "added": len(self.added),
            "removed": len(self.removed),
            "changed": len(self.changed),
            "moved": len(self.moved),
            "unchanged": self.unchanged,
        }


def compare_rows(a: RowTable, b: RowTable) -> RowDifference:
    """Compare by id. Both tables are sorted by it, so each row of b is looked up in a."""
    import numpy as np

    nearest = np.searchsorted(a.ids, b.ids)
    nearest[nearest == len(a.ids)] = 0
    is_common = a.ids[nearest] == b.ids if len(a.ids) else np.zeros(len(b.ids), dtype=bool)
    in_a, in_b = nearest[is_common], np.flatnonzero(is_common)
    stays = np.zeros(len(a.ids), dtype=bool)
    stays[in_a] = True
    pairs = np.column_stack([in_a, in_b])
    differs = a.said[in_a] != b.said[in_b]
    moved = (a.places[in_a] >> 63) != (b.places[in_b] >> 63)
    return RowDifference(
        added=_in_order(np.flatnonzero(~is_common), b),
        removed=_in_order(np.flatnonzero(~stays), a),
        changed=_pairs_in_order(pairs[differs], b),
        moved=_pairs_in_order(pairs[moved], b),
        unchanged=int((~differs).sum()),
    )


def compare_values(a: dict[str, Any], b: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each value that differs, by its path with dots: ``{"a": …, "b": …}``; None where it lacks."""
    left, right = _flat(a), _flat(b)
    names = [*left, *(name for name in right if name not in left)]
    return {
        name: {"a": left.get(name), "b": right.get(name)}
        for name in names
        if left.get(name) != right.get(name)
    }


def _in_order(entries: Any, table: RowTable) -> Any:
    import numpy as np

    return entries[np.argsort(table.places[entries], kind="stable")]


def _pairs_in_order(pairs: Any, b: RowTable) -> Any:
    import numpy as np

    return pairs[np.argsort(b.places[pairs[:, 1]], kind="stable")]


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, dict) and each:
            found |= _flat(each, f"{prefix}{name}.")
        else:
            found[prefix + name] = each
    return found
