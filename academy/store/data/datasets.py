"""Datasets, named by the digest of their files."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete as deletion
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, load_only

from academy.errors import NotFound
from academy.store.data.tables import Dataset
from academy.store.models.dependents import require_unnamed_dataset
from academy.store.paging import newest_first


def register(session: Session, **values: Any) -> Dataset:
    """Record a dataset; one with the same digest is the same dataset and stays as it is."""
    same = {"digest": values["digest"]}
    # Something is set, so that the row is this transaction's and nobody deletes it meanwhile.
    query = insert(Dataset).values(**values)
    made = query.on_conflict_do_update(index_elements=[Dataset.digest], set_=same)
    return session.scalars(
        made.returning(Dataset), execution_options={"populate_existing": True}
    ).one()


def get(session: Session, dataset_id: str) -> Dataset:
    """The dataset; raises `NotFound`."""
    dataset = session.get(Dataset, dataset_id)
    if dataset is None:
        raise NotFound(noun="dataset", id=dataset_id)
    return dataset


def keep(session: Session, dataset_id: str) -> Dataset:
    """The dataset, which nobody deletes before this transaction ends; raises `NotFound`."""
    shared = {"read": True, "key_share": True}
    dataset = session.get(Dataset, dataset_id, with_for_update=shared, populate_existing=True)
    if dataset is None:
        raise NotFound(noun="dataset", id=dataset_id)
    return dataset


def delete(session: Session, dataset_id: str) -> None:
    """Delete a dataset that nothing names any more; its files are garbage then.

    Raises `NotFound`, and `StillNamed` with what names it.
    """
    if session.get(Dataset, dataset_id, with_for_update=True, populate_existing=True) is None:
        raise NotFound(noun="dataset", id=dataset_id)
    require_unnamed_dataset(session, dataset_id)
    session.execute(deletion(Dataset).where(Dataset.id == dataset_id))


def lock(session: Session, dataset_id: str) -> None:
    """Let no other transaction pass here for this dataset until this one ends."""
    query = select(Dataset.id).where(Dataset.id == dataset_id)
    session.execute(query.with_for_update(key_share=True))


def newest(session: Session) -> Dataset | None:
    """The dataset that was made last, if there is one."""
    return session.scalars(select(Dataset).order_by(Dataset.created_at.desc()).limit(1)).first()


def every(session: Session) -> list[Dataset]:
    """All datasets, the oldest first, with their names only: statistics are left out."""
    query = select(Dataset).options(load_only(Dataset.id, Dataset.digest, Dataset.key))
    return list(session.scalars(query.order_by(Dataset.created_at, Dataset.id)))


def page(session: Session, *, limit: int, after: str | None = None) -> list[Dataset]:
    """Datasets newest first, strictly after `after`; one more than `limit` if there is more."""
    query = newest_first(session, Dataset, "dataset", limit=limit, after=after)
    return list(session.scalars(query))
