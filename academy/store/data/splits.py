"""The sides of the split, decided once and kept for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.store.data.tables import SplitSide

#: Keys are 64-bit hashes without a sign; PostgreSQL's bigint has one.
_SIGN = 1 << 63


def known(session: Session, keys: Sequence[int]) -> dict[int, bool]:
    """Of those of `keys` (unsigned) that were decided, whether they are held out."""
    query = select(SplitSide.key, SplitSide.held_out)
    rows = session.execute(query.where(SplitSide.key.in_([key - _SIGN for key in keys])))
    return {key + _SIGN: held_out for key, held_out in rows}


def decide(session: Session, sides: Mapping[int, bool]) -> None:
    """Remember `sides`; a key that was decided before stays as it is.

    In order of the key, so that two who decide at once wait for each other and do not deadlock.
    """
    rows = [{"key": key - _SIGN, "held_out": side} for key, side in sorted(sides.items())]
    if rows:
        session.execute(insert(SplitSide).values(rows).on_conflict_do_nothing())
