"""Curation from end to end: read, filter, redact, de-duplicate, split, write.

Sources are read as streams and rows wait on disk, so memory does not grow with the input but for
some 600 bytes a row, most of them for near duplicates and for the split. Everything is a function
of the request and the records: a second run writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from academy.curation.dataset.folder import DatasetFolder, dataset_folder, writing
from academy.curation.dataset.output import write_dataset
from academy.curation.dataset.statistics import CountTokens
from academy.curation.dedup import Duplicates, find_duplicates
from academy.curation.errors import NothingCurated
from academy.curation.git.commit_cache import CommitCache
from academy.curation.git.examples import open_repositories, read_examples
from academy.curation.git.repository import Repository
from academy.curation.ingestion import Ingestion
from academy.curation.progress import Progress, Ticker
from academy.curation.request import CurationRequest
from academy.curation.sources import Lesson, Row, RunRecord, TaskRecord
from academy.curation.split.contamination import Protected
from academy.curation.split.heldout import HeldOut
from academy.curation.split.previous_splits import PreviousSplits
from academy.curation.split.sides import Candidate, split
from academy.curation.split.ties import Turns
from academy.curation.spool import Spool, content_of


@dataclass(frozen=True)
class CurationResult:
    """The finished dataset: its folder, its digest (``sha256:…``) and its statistics.

    `notes` are sentences about this run that the dataset itself does not hold, because another run
    that makes the same dataset may have others: how much was remembered, what was rewritten.
    """

    folder: Path
    digest: str
    statistics: dict[str, Any]
    notes: tuple[str, ...] = ()


def curate(
    request: CurationRequest,
    *,
    lessons: Iterable[Lesson] = (),
    tasks: Iterable[TaskRecord] = (),
    runs: Iterable[RunRecord] = (),
    uploads: Iterable[Row] = (),
    out: Path,
    allowed_roots: Sequence[Path],
    progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    protected: Iterable[str] = (),
    previous: PreviousSplits | None = None,
    memory: Path | None = None,
    count_tokens: CountTokens | None = None,
) -> CurationResult:
    """Make the dataset that `request` describes in the new folder `out`.

    `lessons`, `tasks` and `runs` are read at most up to their limits, in the order in which they
    come (the newest first, if the newest are wanted). `protected` are texts that must not be
    trained on (the Arena's items). `previous` is what earlier datasets decided, which this one
    holds to and adds to (`read_previous_splits` reads it from folders). `memory` is a private
    folder in which judged commits are remembered, so that the next run reads only the new ones.
    `count_tokens` counts the tokens of a batch of texts for the histogram.

    Raises `RepositoryRefused` before anything is read, `CurationStopped` when `should_stop`
    answers yes, `SourceFailed` when a source breaks off, `NothingCurated` when no row is left and
    `DatasetNotWritten` when the disk refuses. In all of these cases `out` does not exist after.
    """
    wants_git = request.git_commits_limit > 0 and not request.makes_pairs
    repositories = open_repositories(request.repositories, allowed_roots) if wants_git else []
    previous = previous or PreviousSplits()
    guarded = Protected(protected)
    ticker = Ticker(progress, should_stop)
    with dataset_folder(out, ticker) as folder, writing(out, ticker):
        with Spool(folder.scratch / "rows") as spool:
            ingestion = Ingestion(request, spool, ticker, guarded, folder.scratch)
            ingestion.read_records(lessons, tasks, runs, uploads)
            notes = _read_git(ingestion, repositories, folder, memory)
            spool.flush()
            kept, duplicates = _deduplicate(ingestion)
            if not kept:
                raise NothingCurated(rows_read=ticker.rows_read, why=ingestion.why_nothing())
            parts = _split(ingestion, kept, duplicates, previous)
            statistics = write_dataset(
                folder.content,
                parts,
                request=request,
                repositories=[name for name, _ in repositories],
                collected=ingestion.collected,
                drops=ingestion.drops,
                count_tokens=count_tokens,
                ticker=ticker,
            )
        ticker.begin("publishing")
        digest = folder.publish(ticker)
    return CurationResult(out, digest, statistics, notes)


def _read_git(
    ingestion: Ingestion,
    repositories: Sequence[tuple[str, Repository]],
    folder: DatasetFolder,
    memory: Path | None,
) -> tuple[str, ...]:
    """Read the repositories one after the other; returns notes on what was remembered."""
    request, ticker, notes = ingestion.request, ingestion.ticker, []
    for name, repository in repositories:
        ticker.begin(f"reading git {name}", request.git_commits_limit)
        with ExitStack() as stack:
            cache = None
            if memory is not None:
                cache = stack.enter_context(CommitCache(memory, name, repository, request))
            ingestion.read_repository(
                read_examples(name, repository, request, folder.scratch, ticker.poll, cache)
            )
            if cache is not None:
                notes.append(f"{name}: {cache.new} commits were new, others were remembered.")
            if cache is not None and cache.rewritten:
                notes.append(f"{name}: its history was rewritten since it was last read.")
    return tuple(notes)


def _deduplicate(ingestion: Ingestion) -> tuple[list[int], Duplicates]:
    """The rows that stay, the earliest first, and what is known of the others."""
    request, spool, ticker = ingestion.request, ingestion.spool, ingestion.ticker
    ticker.begin("deduplicating", len(spool))
    order = _in_order(spool)
    duplicates = find_duplicates(
        order,
        spool.exact if request.uses("exact_duplicate") else None,
        ingestion.sketches,
        lambda index: content_of(spool.read(index)),
        request.near_duplicate_jaccard,
        ticker.step,
    )
    named = (("exact_duplicate", duplicates.exact), ("near_duplicate", duplicates.near))
    for name, found in named:
        for index, stays in found.items():
            ticker.poll()
            row = spool.read(index)
            ingestion.drops.add_row(row, name, f"like {spool.read(stays).id}")
    kept = [
        index for index in order if index not in duplicates.exact and index not in duplicates.near
    ]
    ticker.rows_kept = len(kept)
    return kept, duplicates


def _split(
    ingestion: Ingestion, kept: Sequence[int], duplicates: Duplicates, previous: PreviousSplits
) -> Iterator[tuple[Row, str]]:
    """Each row that is written, with its side; what may lie on neither side is dropped."""
    request, spool, ticker = ingestion.request, ingestion.spool, ingestion.ticker
    turns = Turns.of(spool, kept)
    tied = turns.tied()
    ticker.check()
    rows = [_candidate(spool, index, duplicates, tied) for index in kept]
    ticker.check()
    found = split(rows, request.heldout_fraction, request.seed, previous.sides, turns, ticker.check)
    overlap = previous.held_out if request.uses("heldout_overlap") else HeldOut()
    if request.uses("heldout_overlap"):
        ticker.begin("sketching held-out rows", len(found.held_out))
        for index in sorted(found.held_out):
            row = spool.read(index)
            overlap.add(row.id, content_of(row))
            ticker.step()
    ticker.begin("writing", len(kept))
    for index in kept:
        row = spool.read(index)
        if index in found.held_out:
            yield row, "heldout"
        elif index in found.straddling:
            ingestion.drops.add_row(row, "straddling", "what it says ties it to a held-out row")
        elif matched := overlap.match(content_of(row)):
            ingestion.drops.add_row(row, "heldout_overlap", matched)
        else:
            yield row, "train"
        ticker.step()


def _in_order(spool: Spool) -> list[int]:
    """The spooled rows, the earliest first; rows of one second by the hash of their id."""
    import numpy as np

    ties = np.frombuffer(spool.ties, dtype=np.uint64)
    times = np.frombuffer(spool.times, dtype=np.int64)
    order: list[int] = np.lexsort((ties, times)).tolist()
    return order


def _candidate(
    spool: Spool, index: int, duplicates: Duplicates, tied: Mapping[int, int]
) -> Candidate:
    return Candidate(
        index=index,
        source=spool.sources[index],
        group=spool.groups[index],
        time=spool.times[index],
        tie=spool.ties[index],
        cluster=duplicates.clusters.get(index),
        tied=tied.get(index),
    )
