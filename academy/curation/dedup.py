"""Exact and near duplicates: the earliest row stays, and clusters are known to the split.

MinHash with banding (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3) by rensa
proposes pairs; the exact Jaccard similarity of their shingles decides, so every row that is dropped
is a true near duplicate of one that stays. 20 bands of 6 rows propose a pair of similarity 0.8 with
a probability of 1 - (1 - 0.8^6)^20 = 0.997.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any, Protocol

from academy.curation.words import words_of

BANDS = 20
ROWS_PER_BAND = 6
SHINGLE_WORDS = 3
_BATCH = 512
_SEED = 42
#: Comparisons a row at most makes in one bucket. Buckets grow beyond it only where hundreds of
#: rows are alike without being duplicates; the most recent ones are then the best guess.
_BUCKET = 200


class Texts(Protocol):
    """Where the text of a row can be read again."""

    def __call__(self, index: int) -> str: ...


@dataclass(frozen=True)
class Duplicates:
    """For a dropped row the row that stays, and for any row its cluster.

    `clusters` maps a row to the smallest member of its cluster, for rows in clusters only; two
    rows that stay can share a cluster through a dropped row that resembles both.
    """

    exact: dict[int, int] = field(default_factory=dict)
    near: dict[int, int] = field(default_factory=dict)
    clusters: dict[int, int] = field(default_factory=dict)


class Sketches:
    """The MinHash band keys of all rows, 160 bytes a row, filled as rows come."""

    def __init__(self) -> None:
        self._keys = array("Q")
        self._waiting: list[list[str]] = []

    def add(self, text: str) -> None:
        """Sketch the next row."""
        self._waiting.append(shingles(text))
        if len(self._waiting) >= _BATCH:
            self._flush()

    def keys(self) -> Any:
        """A numpy array of shape (rows, bands) with one 64-bit key a band."""
        import numpy as np

        self._flush()
        return np.frombuffer(self._keys, dtype=np.uint64).reshape(-1, BANDS)

    def _flush(self) -> None:
        if not self._waiting:
            return
        import numpy as np
        from rensa import RMinHash

        matrix = RMinHash.digest_matrix_from_token_sets(
            self._waiting, num_perm=BANDS * ROWS_PER_BAND, seed=_SEED
        )
        flat = chain.from_iterable(matrix.to_rows())
        size = len(self._waiting) * BANDS * ROWS_PER_BAND
        values = np.fromiter(flat, dtype=np.uint64, count=size)
        values = values.reshape(len(self._waiting), BANDS, ROWS_PER_BAND)
        keys = np.full((len(self._waiting), BANDS), 0x9E3779B97F4A7C15, dtype=np.uint64)
        for column in range(ROWS_PER_BAND):  # an FNV-like hash; overflow wraps
            keys = (keys ^ values[:, :, column]) * np.uint64(0x100000001B3)
            keys ^= keys >> np.uint64(29)
        self._keys.frombytes(keys.tobytes())
        self._waiting.clear()


def shingles(text: str) -> list[str]:
    """Runs of three words, the set that Jaccard compares; signs do not count, nor does case.

    A text of three words or fewer is one shingle, and one without any word is compared as it is.
    """
    words = words_of(text)
    if len(words) <= SHINGLE_WORDS:
        return [" ".join(words) or text.strip()]
    return list(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Size of the intersection over size of the union; 1.0 for two empty sets."""
    union = len(left | right)
    return len(left & right) / union if union else 1.0


def find_duplicates(
    order: Sequence[int],
    exact_keys: Sequence[int] | None,
    sketches: Sketches | None,
    texts: Texts,
    threshold: float,
    tick: Callable[[int], None],
) -> Duplicates:
    """Find the duplicates among rows that are looked at in `order`, the earliest first.

    `tick` is called often with the number of rows that are done since, and may raise to stop.

    `exact_keys` None leaves exact duplicates alone, `sketches` None near ones. A row is dropped
    if it equals, or has a Jaccard similarity of at least `threshold` with, a row that stays.
    """
    exact: dict[int, int] = {}
    near: dict[int, int] = {}
    parents: dict[int, int] = {}

    @lru_cache(maxsize=20_000)
    def shingled(index: int) -> frozenset[str]:
        return frozenset(shingles(texts(index)))

    if exact_keys is not None:
        for index, earlier in _repeats(order, exact_keys):
            tick(0)
            if texts(earlier).split() == texts(index).split():
                exact[index] = earlier
                _join(parents, index, earlier)
    if sketches is not None:
        rest = [index for index in order if index not in exact]
        buckets: dict[tuple[int, int], list[int]] = {}
        done = 0
        for position, row_keys in _shared(rest, sketches.keys(), tick):
            tick(position - done)
            index, done = rest[position], position
            mine = [buckets.setdefault(key, []) for key in row_keys]
            for other in sorted({each for bucket in mine for each in bucket[-_BUCKET:]}):
                if jaccard(shingled(index), shingled(other)) < threshold:
                    continue
                _join(parents, index, other)
                if index not in near and other not in near:
                    near[index] = other
            for bucket in mine:
                if index not in near or len(bucket) < 8:  # a few dropped ones keep chains together
                    bucket.append(index)
    clusters = {index: _find(parents, index) for index in parents}
    return Duplicates(exact=exact, near=near, clusters=clusters)


def _repeats(order: Sequence[int], keys: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs (row, the first row in `order` with the same key); few, so the map stays small."""
    import numpy as np

    values, counts = np.unique(np.asarray(keys, dtype=np.uint64), return_counts=True)
    repeated = set(values[counts > 1].tolist())
    first: dict[int, int] = {}
    for index in order:
        key = keys[index]
        if key in repeated:
            earlier = first.setdefault(key, index)
            if earlier != index:
                yield index, earlier


def _shared(
    order: Sequence[int], keys: Any, tick: Callable[[int], None]
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """The place in `order` of each row that shares a band key, with those (band, key) pairs.

    Most keys occur once. Leaving them out is what keeps the buckets small.
    """
    import numpy as np

    if len(order) == 0:
        return
    chosen = np.asarray(order)
    shared = np.zeros((len(chosen), BANDS), dtype=bool)
    for band in range(BANDS):
        tick(0)
        column = keys[chosen, band]
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        shared[:, band] = counts[inverse] > 1
    for position in np.flatnonzero(shared.any(axis=1)).tolist():
        index = int(chosen[position])
        bands = np.flatnonzero(shared[position]).tolist()
        yield position, [(band, int(keys[index, band])) for band in bands]


def _find(parents: dict[int, int], index: int) -> int:
    root = index
    while parents.get(root, root) != root:
        root = parents[root]
    while parents.get(index, index) != root:
        parents[index], index = root, parents[index]
    return root


def _join(parents: dict[int, int], left: int, right: int) -> None:
    a, b = _find(parents, left), _find(parents, right)
    parents[max(a, b)] = parents[min(a, b)] = min(a, b)
