"""Workers that were seen: registration, heart-beats, drains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.errors import NotFound
from academy.lifecycle import JobKind
from academy.store.base import from_now, now, schema_revision
from academy.store.jobs.tables import Worker


def seen(
    session: Session,
    worker_id: str,
    *,
    queue: str,
    host: str,
    pid: int,
    versions: dict[str, Any],
    gpus: list[Any],
    kinds: Sequence[str] = tuple(JobKind),
    obstacle: str | None = None,
    cpus: int | None = None,
    memory_bytes: int | None = None,
) -> bool:
    """Note that a worker is alive, what it has and knows, and why it takes no jobs if it does not.

    Returns whether somebody asked it to drain.
    """
    facts = {
        "queue": queue,
        "host": host,
        "pid": pid,
        "versions": versions,
        "gpus": gpus,
        "kinds": list(kinds),
        "obstacle": obstacle,
        "cpus": cpus,
        "memory_bytes": memory_bytes,
    }
    row = session.execute(
        insert(Worker)
        .values(id=worker_id, **facts)
        .on_conflict_do_update(
            index_elements=[Worker.id],
            set_={**facts, "last_seen_at": now(), "stopped_at": None, "lost_at": None},
        )
        .returning(Worker.drain_requested_at)
    ).one()
    return row[0] is not None


def schema_at(session: Session) -> str | None:
    """The revision that the schema is at, which a worker compares with its own."""
    return session.scalar(select(schema_revision()))


def stopped(session: Session, worker_id: str) -> None:
    """Note that a worker ended in good order."""
    session.execute(update(Worker).where(Worker.id == worker_id).values(stopped_at=now()))


def note_lost(session: Session, *, silent_seconds: float, limit: int = 100) -> list[str]:
    """Note the workers that neither stopped nor were heard of for so long, each once; their ids.

    A worker that is heard of again is lost no more.
    """
    silent = (
        select(Worker.id)
        .where(
            Worker.stopped_at.is_(None),
            Worker.lost_at.is_(None),
            Worker.last_seen_at < from_now(-silent_seconds),
        )
        .order_by(Worker.last_seen_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    noted = update(Worker).where(Worker.id.in_(silent)).values(lost_at=now())
    return list(session.scalars(noted.returning(Worker.id)))


def request_drain(session: Session, worker_id: str) -> None:
    """Ask a worker to let go of its job and stop; raises `NotFound`."""
    asked = session.execute(
        update(Worker)
        .where(Worker.id == worker_id)
        .values(drain_requested_at=now())
        .returning(Worker.id)
    ).first()
    if asked is None:
        raise NotFound(noun="worker", id=worker_id)


def count_live(session: Session) -> dict[str, int]:
    """How many workers of each queue were heard of within a minute and have not stopped."""
    query = (
        select(Worker.queue, func.count())
        .where(Worker.last_seen_at > from_now(-60), Worker.stopped_at.is_(None))
        .group_by(Worker.queue)
    )
    return dict(session.execute(query).all())


def alive(session: Session, *, seen_within_seconds: float) -> Sequence[Worker]:
    """The workers that were heard of lately and have not stopped."""
    return session.scalars(
        select(Worker)
        .where(Worker.last_seen_at > from_now(-seen_within_seconds), Worker.stopped_at.is_(None))
        .order_by(Worker.queue, Worker.host, Worker.id)
    ).all()
