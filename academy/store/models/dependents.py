"""What names a dataset or an adapter, which is why it cannot be deleted.

Whoever is about to name one takes a shared lock on its row first (`hold`, or `keep` of the noun's
own queries), and a deletion takes the row for itself before it asks here. So of the two that come
at the same time one sees what the other did. What is over names nothing: a finished job, an ended
sweep and an alias's older moves keep the id as a text of their history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from academy.errors import AcademyError
from academy.lifecycle import TERMINAL
from academy.store.data.tables import Dataset
from academy.store.jobs.tables import Job
from academy.store.models.tables import Adapter, Alias, AliasMove
from academy.store.plans.schedule_tables import Schedule
from academy.store.plans.sweep_tables import Sweep

#: Of each sort of what names something, so many are told.
_MOST_TOLD = 5

#: What names it, and what has to become of that.
Named = tuple[str, str]


class StillNamed(AcademyError):
    """The {noun} {id!r} cannot be deleted, as it is still named by {by}."""

    code = "still_named"
    status = 409
    next_step = "Do what the errors say of each of those, and delete it then."

    def __init__(self, *, noun: str, id: str, named: list[Named]) -> None:
        super().__init__(noun=noun, id=id, by=", ".join(by for by, _ in named))
        self.fields = {"noun": noun, "id": id, "named": named}
        self.errors = [{"detail": f"named by {by}", "allowed": way} for by, way in named]


def hold(session: Session, request: Mapping[str, Any]) -> None:
    """Let nobody delete what a training's request names before this transaction ends.

    What is not there is not refused here.
    """
    for table, name in ((Dataset, "dataset_id"), (Adapter, "init_adapter")):
        if isinstance(found := request.get(name), str):
            query = select(table.id).where(table.id == found)
            session.execute(query.with_for_update(read=True, key_share=True))


def require_unnamed_dataset(session: Session, dataset_id: str) -> None:
    """Raise `StillNamed` if something names the dataset, whose row the caller has locked."""
    named = [
        *_jobs(session, Job.dataset_id == dataset_id),
        *_adapters(session, Adapter.dataset_id == dataset_id, "trained on it"),
        *_sweeps(session, Sweep.dataset_id == dataset_id),
        *_schedules(session, {"dataset_id": dataset_id}),
    ]
    if named:
        raise StillNamed(noun="dataset", id=dataset_id, named=named)


def require_unnamed_adapter(session: Session, adapter_id: str) -> None:
    """Raise `StillNamed` if something names the adapter, whose row the caller has locked."""
    named = [
        *_aliases(session, adapter_id),
        *_jobs(session, Job.parameters.contains({"init_adapter": adapter_id})),
        *_adapters(session, Adapter.parent_id == adapter_id, "trained from it"),
        *_sweeps(
            session,
            or_(
                Sweep.request.contains({"training": {"init_adapter": adapter_id}}),
                Sweep.request.contains({"knobs": {"init_adapter": {"values": [adapter_id]}}}),
            ),
        ),
        *_schedules(session, {"init_adapter": adapter_id}),
    ]
    if named:
        raise StillNamed(noun="adapter", id=adapter_id, named=named)


def _jobs(session: Session, names_it: ColumnElement[bool]) -> Iterator[Named]:
    query = select(Job.id, Job.status).where(Job.status.not_in(TERMINAL), names_it)
    for id, status in session.execute(query.order_by(Job.id).limit(_MOST_TOLD)):
        yield f"the job {id} ({status})", "cancel that job, or wait for its end"


def _adapters(session: Session, names_it: ColumnElement[bool], how: str) -> Iterator[Named]:
    query = select(Adapter.id).where(names_it).order_by(Adapter.id).limit(_MOST_TOLD)
    for id in session.scalars(query):
        yield f"the adapter {id} ({how})", "delete that adapter first"


def _sweeps(session: Session, names_it: ColumnElement[bool]) -> Iterator[Named]:
    query = select(Sweep.id).where(Sweep.status == "running", names_it)
    for id in session.scalars(query.order_by(Sweep.id).limit(_MOST_TOLD)):
        yield f"the sweep {id} (running)", "cancel that sweep, or wait for its end"


def _schedules(session: Session, request: dict[str, Any]) -> Iterator[Named]:
    query = select(Schedule.name).where(Schedule.request.contains(request))
    for name in session.scalars(query.order_by(Schedule.name).limit(_MOST_TOLD)):
        yield f"the schedule {name}", "change or delete that schedule"


def _aliases(session: Session, adapter_id: str) -> Iterator[Named]:
    """Those that point at it, and those that would point at it again if they were rolled back."""
    current = (AliasMove.alias == Alias.name) & (AliasMove.generation == Alias.generation)
    query = (
        select(Alias.name, Alias.adapter_id)
        .outerjoin(AliasMove, current)
        .where(
            or_(
                Alias.adapter_id == adapter_id,
                Alias.adapter_id.is_not(None) & (AliasMove.from_adapter_id == adapter_id),
            )
        )
    )
    for name, serving in session.execute(query.order_by(Alias.name).limit(_MOST_TOLD)):
        if serving == adapter_id:
            yield f"the alias {name}", "activate another adapter there, or deactivate it"
        else:
            by = f"the alias {name} (served by it before {serving})"
            yield by, "move that alias once more; it could not be rolled back to this adapter"
