"""What curation reads from PostgreSQL, in short transactions, again where one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from academy.curation.errors import SourceAway
from academy.curation.request import CurationRequest
from academy.curation.reward import reward_of, tests_passed
from academy.curation.sources import Lesson, RunRecord, TaskRecord
from academy.curation.split.heldout import SKETCH_VERSION, HeldOut
from academy.curation.split.previous_splits import add_held_out
from academy.errors import AcademyError
from academy.jobs.attempt import Attempt
from academy.store.data import datasets, splits, tables
from academy.store.engine import Session, StoreError
from academy.store.paging import older_than

_PAGE = 1_000
_KEYS_AT_ONCE = 10_000

Answer = TypeVar("Answer")
Record = TypeVar("Record", tables.Lesson, tables.Task, tables.Run)


def stored_lessons(attempt: Attempt, limit: int) -> Iterator[Lesson]:
    """Up to `limit` lessons, newest first."""
    for row in _newest(attempt, tables.Lesson, limit):
        yield Lesson(
            id=row.id,
            situation=row.situation,
            solution=row.solution,
            tags=row.tags,
            source=row.source or "",
            quality=row.quality,
            created_at=row.created_at,
        )


def stored_tasks(attempt: Attempt, limit: int) -> Iterator[TaskRecord]:
    """Up to `limit` finished conversations, newest first."""
    for row in _newest(attempt, tables.Task, limit):
        yield TaskRecord(
            id=row.id, messages=row.messages, outcome=row.outcome, created_at=row.created_at
        )


def stored_runs(attempt: Attempt, limit: int) -> Iterator[RunRecord]:
    """Up to `limit` scored runs, newest first."""
    for row in _newest(attempt, tables.Run, limit):
        yield RunRecord(
            id=row.id,
            messages=row.messages,
            reward=reward_of(row.reward, row.signals),
            tests_passed=tests_passed(row.signals),
            created_at=row.created_at,
            task_id=row.task_id,
        )


class StoredSides:
    """The sides of the split in PostgreSQL, the same for every worker: `previous_splits.Sides`."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def known(self, keys: Sequence[int]) -> dict[int, bool]:
        found: dict[int, bool] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            found |= _ask(self._attempt, "split", partial(splits.known, keys=some))
        return found

    def decide(self, sides: Mapping[int, bool]) -> None:
        keys = sorted(sides)
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = {key: sides[key] for key in keys[start : start + _KEYS_AT_ONCE]}
            _ask(self._attempt, "split", partial(splits.decide, sides=some))


def stored_held_out(attempt: Attempt, request: CurationRequest) -> HeldOut:
    """Sketches of every held-out row of every dataset there is.

    A dataset never changes, so it is read once on each host and its sketches are kept under the
    home. One that cannot be read is named in the job's log and passed over.
    """
    held_out = HeldOut()
    if not request.uses("heldout_overlap"):
        return held_out
    folder = attempt.settings.home / "cache" / "heldout"
    folder.mkdir(parents=True, exist_ok=True)
    for dataset in _ask(attempt, "datasets", datasets.every):
        attempt.check()
        sketches = folder / f"{dataset.digest.removeprefix('sha256:')}-{SKETCH_VERSION}.npz"
        try:
            if not sketches.exists():
                _sketch(attempt, dataset, sketches)
            held_out.load(sketches)
        except (AcademyError, OSError, ValueError) as error:
            sketches.unlink(missing_ok=True)
            message = f"What {dataset.id} held out is not known: {error}"
            attempt.events.emit("log", level="warning", message=message)
    return held_out


def _sketch(attempt: Attempt, dataset: tables.Dataset, target: Path) -> None:
    """Write the sketches of one dataset's held-out rows, whole or not at all."""
    own = HeldOut()
    add_held_out(own, attempt.store.fetch(dataset.key, dataset.digest), attempt.check)
    temporary = target.with_name(f".{target.name}.{attempt.job.id}")
    own.save(temporary)
    temporary.replace(target)


def _newest(attempt: Attempt, table: type[Record], limit: int) -> Iterator[Record]:
    """Pages by keyset, so that memory is flat and an outage costs one page, read again."""
    last: Record | None = None
    while limit > 0:
        count = min(_PAGE, limit)
        read = partial(older_than, table=table, last=last, limit=count)
        page: list[Record] = _ask(attempt, table.__tablename__, read)
        yield from page
        if len(page) < count:
            return
        limit -= count
        last = page[-1]


def _ask(attempt: Attempt, source: str, read: Callable[[Session], Answer]) -> Answer:
    """`read` in a transaction, again while PostgreSQL is away; `SourceAway` if it stays away."""
    try:
        return attempt.record(read)
    except StoreError as error:
        why = str(error).partition("\n")[0][:300]
        raise SourceAway(source=source, why=why) from error
