"""Counting what each filter dropped, and keeping a fair sample of it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from academy.curation.people import mask_people
from academy.curation.sources import Row
from academy.curation.spool import content_of, hash64
from academy.secrecy.redact import redact

SAMPLES_PER_FILTER = 20
_TEXT_CHARS = 500


@dataclass(frozen=True, order=True)
class Drop:
    """A dropped row: which filter, what it matched, and the beginning of its text."""

    rank: int  # minus the hash that draws the sample, so that a heap gives up the largest
    id: str
    source: str
    filter: str
    matched: str
    text: str


class Drops:
    """Counts by source and filter, and the rows with the 20 smallest hashes for each filter.

    The sample is drawn by hash, not by position, so it is uniform and the same in every run.
    """

    def __init__(self, seed: int, mask: bool) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self._samples: dict[str, list[Drop]] = {}
        self._seed = seed
        self._mask = mask

    def add(
        self, id: str, source: str, filter: str, matched: str, text: str, records: int = 1
    ) -> None:
        """Note that `filter` dropped the row `id`, which was made of so many records."""
        by_filter = self.counts.setdefault(source, {})
        by_filter[filter] = by_filter.get(filter, 0) + records
        rank = -hash64(f"{self._seed}:{filter}:{id}")
        heap = self._samples.setdefault(filter, [])
        if len(heap) >= SAMPLES_PER_FILTER and rank < heap[0].rank:
            return
        drop = Drop(rank, id, source, filter, self._safe(matched), self._safe(text))
        push = heapq.heappush if len(heap) < SAMPLES_PER_FILTER else heapq.heappushpop
        push(heap, drop)

    def add_row(self, row: Row, filter: str, matched: str) -> None:
        """Note that `filter` dropped this row."""
        self.add(row.id, row.source, filter, matched, content_of(row), row.records)

    def total(self, source: str | None = None) -> int:
        """How many records were dropped, of one source or of all."""
        chosen = self.counts if source is None else {source: self.counts.get(source, {})}
        return sum(sum(by_filter.values()) for by_filter in chosen.values())

    def by_filter(self) -> dict[str, int]:
        """How many records each filter dropped, of all sources together, in order of name."""
        totals: dict[str, int] = {}
        for by_filter in self.counts.values():
            for name, count in by_filter.items():
                totals[name] = totals.get(name, 0) + count
        return dict(sorted(totals.items()))

    def samples(self) -> list[Drop]:
        """The sampled rows, by filter and then by hash."""
        return [
            drop
            for name in sorted(self._samples)
            for drop in sorted(self._samples[name], reverse=True)
        ]

    def _safe(self, text: str) -> str:
        """What a sample may show: a dropped row's secrets are still secrets.

        Redacted before it is cut, because half a token is no longer recognised as one.
        """
        redacted = redact(text[: 40 * _TEXT_CHARS]).text
        if self._mask:
            redacted = mask_people(redacted)[0]
        return redacted[:_TEXT_CHARS]
