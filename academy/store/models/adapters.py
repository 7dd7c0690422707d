"""Adapters and the aliases that point at them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete as deletion
from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from academy.errors import Conflict, NotFound
from academy.store.base import now
from academy.store.models.dependents import require_unnamed_adapter
from academy.store.models.tables import Adapter, Alias, AliasMove
from academy.store.paging import newest_first

#: What does not change is made once: making a statement costs more than asking it.
_ALIASES = select(Alias).order_by(Alias.name)


def register(session: Session, adapter: Adapter) -> None:
    """Record a trained adapter. It never changes afterwards."""
    session.add(adapter)
    session.flush()


def get(session: Session, adapter_id: str) -> Adapter:
    """The adapter; raises `NotFound`."""
    adapter = session.get(Adapter, adapter_id)
    if adapter is None:
        raise NotFound(noun="adapter", id=adapter_id)
    return adapter


def keep(session: Session, adapter_id: str) -> Adapter:
    """The adapter, which nobody deletes before this transaction ends; raises `NotFound`."""
    shared = {"read": True, "key_share": True}
    adapter = session.get(Adapter, adapter_id, with_for_update=shared)
    if adapter is None:
        raise NotFound(noun="adapter", id=adapter_id)
    return adapter


def delete(session: Session, adapter_id: str) -> None:
    """Delete an adapter that nothing names any more; its files are garbage then.

    Raises `NotFound`, and `StillNamed` with what names it.
    """
    if session.get(Adapter, adapter_id, with_for_update=True) is None:
        raise NotFound(noun="adapter", id=adapter_id)
    require_unnamed_adapter(session, adapter_id)
    session.execute(deletion(Adapter).where(Adapter.id == adapter_id))


def is_known(session: Session, adapter_id: str) -> bool:
    """Whether there is such an adapter."""
    return session.get(Adapter, adapter_id) is not None


def of_job(session: Session, job_id: str) -> Adapter | None:
    """The adapter that a training job made, if it has."""
    return session.scalars(select(Adapter).where(Adapter.job_id == job_id)).one_or_none()


def page(session: Session, *, limit: int, after: str | None = None) -> list[Adapter]:
    """Adapters newest first, strictly after `after`; one more than `limit` if there is more."""
    query = newest_first(session, Adapter, "adapter", limit=limit, after=after)
    return list(session.scalars(query))


def children(session: Session, adapter_id: str) -> Sequence[Adapter]:
    """The adapters whose training began from this one."""
    return session.scalars(
        select(Adapter).where(Adapter.parent_id == adapter_id).order_by(Adapter.created_at)
    ).all()


def alias(session: Session, name: str) -> Alias | None:
    """Where an alias points; None if it was never moved."""
    return session.get(Alias, name, populate_existing=True)


def aliases(session: Session) -> Sequence[Alias]:
    """All aliases by name."""
    return session.scalars(_ALIASES).all()


def move_alias(
    session: Session,
    name: str,
    adapter_id: str | None,
    *,
    expected_generation: int | None,
    moved_by: str | None,
    reason: str | None,
    swap_seconds: float | None = None,
) -> Alias:
    """Point an alias at an adapter (None: the base model) by compare-and-swap.

    `expected_generation` is what the caller saw; None takes whatever there is. Raises `Conflict`
    if somebody moved the alias meanwhile, and `NotFound` if somebody deleted the adapter.
    """
    if adapter_id is not None:
        keep(session, adapter_id)
    session.execute(upsert(Alias).values(name=name, generation=0).on_conflict_do_nothing())
    before = session.scalars(select(Alias).where(Alias.name == name).with_for_update()).one()
    came_from, generation = before.adapter_id, before.generation
    if expected_generation is not None and generation != expected_generation:
        raise Conflict(
            detail=f"The alias {name!r} is at generation {generation},"
            f" not {expected_generation}: somebody moved it."
        )
    moved = session.scalars(
        update(Alias)
        .where(Alias.name == name, Alias.generation == generation)
        .values(adapter_id=adapter_id, generation=generation + 1, updated_at=now())
        .returning(Alias),
        execution_options={"populate_existing": True},
    ).one()
    session.execute(
        insert(AliasMove).values(
            alias=name,
            generation=moved.generation,
            from_adapter_id=came_from,
            to_adapter_id=adapter_id,
            moved_by=moved_by,
            reason=reason,
            swap_seconds=swap_seconds,
        )
    )
    return moved


def moves(session: Session, name: str, *, limit: int = 500) -> Sequence[AliasMove]:
    """An alias's history, newest first."""
    return session.scalars(
        select(AliasMove)
        .where(AliasMove.alias == name)
        .order_by(AliasMove.generation.desc())
        .limit(limit)
    ).all()
