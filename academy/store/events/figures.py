"""A job's metrics, evaluations and checkpoints as compressed runs, readable without its log."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.store.events.figures_tables import FigureChunk

#: Figures in a chunk at most. A chunk that is not full is written again with what comes next, so
#: that a long training does not leave thousands of chunks with one figure each.
FULL = 500


def append(
    session: Session, job_id: str, attempt: int, events: Sequence[tuple[int, str]], last_seq: int
) -> None:
    """Store events, each its number and its JSON line, in order; `last_seq` was looked at, too.

    Events that are there already (a repeated flush) are passed over.
    """
    newest = session.scalars(
        select(FigureChunk)
        .where(FigureChunk.job_id == job_id, FigureChunk.attempt == attempt)
        .order_by(FigureChunk.first_seq.desc())
        .limit(1)
        .with_for_update(),
        execution_options={"populate_existing": True},
    ).one_or_none()
    seen = newest.last_seq if newest is not None else 0
    fresh = [each for each in events if each[0] > seen]
    if not fresh:
        return
    if newest is not None and newest.count < FULL:
        room = FULL - newest.count
        taken, fresh = fresh[:room], fresh[room:]
        lines = [zlib.decompress(newest.data), *(line.encode() for _, line in taken)]
        session.execute(
            update(FigureChunk)
            .where(
                FigureChunk.job_id == job_id,
                FigureChunk.attempt == attempt,
                FigureChunk.first_seq == newest.first_seq,
            )
            .values(
                last_seq=taken[-1][0] if fresh else last_seq,
                count=newest.count + len(taken),
                data=zlib.compress(b"\n".join(lines)),
            ),
            execution_options={"synchronize_session": False},
        )
    for start in range(0, len(fresh), FULL):
        part = fresh[start : start + FULL]
        is_last = start + FULL >= len(fresh)
        session.execute(
            insert(FigureChunk)
            .values(
                job_id=job_id,
                attempt=attempt,
                first_seq=part[0][0],
                last_seq=last_seq if is_last else part[-1][0],
                count=len(part),
                data=zlib.compress("\n".join(line for _, line in part).encode()),
            )
            .on_conflict_do_nothing()
        )


def lines(session: Session, job_id: str) -> Iterator[bytes]:
    """Every stored event of a job as its JSON line, in order; one may come twice."""
    chunks = session.scalars(
        select(FigureChunk)
        .where(FigureChunk.job_id == job_id)
        .order_by(FigureChunk.attempt, FigureChunk.first_seq)
    )
    for chunk in chunks:
        yield from zlib.decompress(chunk.data).split(b"\n")
