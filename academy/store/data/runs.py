"""Scored runs: what an agent was asked, what it answered, and how good that was."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import bindparam

from academy.errors import NotFound
from academy.store.data.recording import record_rows
from academy.store.data.tables import Run
from academy.store.paging import newest_first


def add_runs(session: Session, rows: Sequence[dict[str, Any]], made: Set[str] = frozenset()) -> int:
    """Insert runs; how many were new. Raises `RecordedDifferently`.

    Reward and signals come later, too (`add_signals`), so they may be others by now.
    """
    content = ("messages", "source", "task_id")
    return record_rows(session, Run, rows, noun="run", content=content, made=made)


def add_signals(
    session: Session, run_id: str, signals: dict[str, Any], reward: float | None
) -> Run:
    """Merge signals into a run's, the new ones winning, and set its reward if one is given.

    One statement, so writers at the same time lose nothing of each other. Raises `NotFound`.
    """
    merged = Run.signals.op("||")(bindparam("signals", signals, type_=JSONB))
    values: dict[str, Any] = {"signals": merged}
    if reward is not None:
        values["reward"] = reward
    changed = session.scalars(
        update(Run).where(Run.id == run_id).values(values).returning(Run),
        execution_options={"populate_existing": True},
    ).one_or_none()
    if changed is None:
        raise NotFound(noun="run", id=run_id)
    return changed


def page(
    session: Session,
    *,
    limit: int,
    after: str | None = None,
    source: str | None = None,
    task_id: str | None = None,
) -> list[Run]:
    """Runs newest first, strictly after the run `after`; one more than `limit` if any."""
    query = newest_first(session, Run, "run", limit=limit, after=after)
    if source is not None:
        query = query.where(Run.source == source)
    if task_id is not None:
        query = query.where(Run.task_id == task_id)
    return list(session.scalars(query))
