"""The numbers of a dataset. Lengths are in characters."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from academy.curation.drops import Drops
from academy.curation.sources import Row
from academy.curation.spool import SOURCES, hash64

#: Upper ends (exclusive) of the histogram's classes; the last class has none.
LENGTH_EDGES: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
CountTokens = Callable[[Sequence[str]], Sequence[int]]


@dataclass
class Collected:
    """How many records each source gave, before any rule."""

    read: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SOURCES, 0))
    #: Commits that a git filter passed over: they do not count against `git_commits_limit`.
    commits_skipped: int = 0


class Lengths:
    """Sums and histograms of what was written, filled row by row."""

    def __init__(self, count_tokens: CountTokens | None) -> None:
        self.rows = {"train": 0, "heldout": 0}
        self.records = 0
        self.by_source: dict[str, int] = {}
        self.touched: dict[str, int] = {}
        self._input = self._output = 0
        self._input_classes = [0] * (len(LENGTH_EDGES) + 1)
        self._output_classes = [0] * (len(LENGTH_EDGES) + 1)
        self._token_classes = [0] * (len(LENGTH_EDGES) + 1)
        self._tokens = self._longest = 0
        self._count_tokens = count_tokens
        self._waiting: list[str] = []
        self._groups = array("Q")

    def add(self, row: Row, side: str) -> None:
        """Count a row that was written to `side` (train or heldout)."""
        self.rows[side] += 1
        self.records += row.records
        self.by_source[row.source] = self.by_source.get(row.source, 0) + row.records
        for each in row.touched:
            self.touched[each] = self.touched.get(each, 0) + 1
        self._groups.append(hash64(row.group))
        prompt, answer = len(row.prompt), len(row.answer)
        self._input += prompt
        self._output += answer
        self._input_classes[_class(prompt)] += 1
        self._output_classes[_class(answer)] += 1
        if self._count_tokens is not None:
            self._waiting.append(f"{row.prompt}\n{row.answer}")
            if len(self._waiting) >= 256:
                self._flush_tokens()

    @property
    def total(self) -> int:
        """Rows written."""
        return sum(self.rows.values())

    def averages(self) -> tuple[float, float]:
        """Mean characters of the prompt and of the answer, with one decimal."""
        total = max(1, self.total)
        return round(self._input / total, 1), round(self._output / total, 1)

    def groups(self) -> dict[str, Any]:
        """How many split groups the rows belong to, and the share of the largest."""
        import numpy as np

        _, sizes = np.unique(np.frombuffer(self._groups, dtype=np.uint64), return_counts=True)
        largest = int(sizes.max()) / len(self._groups) if len(sizes) else 0.0
        return {"count": len(sizes), "largest_share": round(largest, 3)}

    def histograms(self) -> dict[str, Any]:
        """Rows by length; tokens only where the base model's tokenizer was given."""
        found: dict[str, Any] = {
            "unit": "characters",
            "upper_edges": list(LENGTH_EDGES),
            "input": self._input_classes,
            "output": self._output_classes,
        }
        if self._count_tokens is not None:
            self._flush_tokens()
            found["tokens"] = {
                "upper_edges": list(LENGTH_EDGES),
                "rows": self._token_classes,
                "total": self._tokens,
                "longest": self._longest,
            }
        return found

    def _flush_tokens(self) -> None:
        if self._count_tokens is None or not self._waiting:
            return
        for count in self._count_tokens(self._waiting):
            self._token_classes[_class(count)] += 1
            self._tokens += count
            self._longest = max(self._longest, count)
        self._waiting.clear()


def summarise(collected: Collected, drops: Drops, lengths: Lengths) -> dict[str, Any]:
    """The statistics of a dataset; the first six have the seeds' names.

    ``input.read`` = ``input.kept`` + ``input.dropped``, all in records, where the dropped ones are
    the sum over ``filters``. ``total_examples`` counts rows; but for preference pairs, which are
    made of two runs each, a row is a record, so it is what was collected −
    ``removed_low_quality``. Commits that a git filter passed over are in ``git_commits_skipped``
    and ``input``, but not collected.
    """
    read, skipped = collected.read, collected.commits_skipped
    average_input, average_output = lengths.averages()
    dropped = drops.total()
    return {
        "total_examples": lengths.total,
        "lessons_collected": read["lesson"],
        "git_commits_collected": read["git"] - skipped,
        "removed_low_quality": dropped - skipped,
        "avg_input_length": average_input,
        "avg_output_length": average_output,
        "tasks_collected": read["task"],
        "runs_collected": read["run"],
        "uploads_collected": read["upload"],
        "git_commits_read": read["git"],
        "git_commits_skipped": skipped,
        "train_rows": lengths.rows["train"],
        "heldout_rows": lengths.rows["heldout"],
        "input": {"read": sum(read.values()), "kept": lengths.records, "dropped": dropped},
        "filters": drops.by_filter(),
        "sources": {
            source: {
                "read": read[source],
                "kept": lengths.by_source.get(source, 0),
                "dropped": dict(sorted(drops.counts.get(source, {}).items())),
            }
            for source in SOURCES
            if read[source]
        },
        "touched": dict(sorted(lengths.touched.items())),
        "groups": lengths.groups(),
        "lengths": lengths.histograms(),
    }


def _class(length: int) -> int:
    return next((at for at, edge in enumerate(LENGTH_EDGES) if length < edge), len(LENGTH_EDGES))
