"""``/runs``: recording scored runs, and what becomes known of them later."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import Role
from academy.api.data.lessons_shapes import Recorded
from academy.api.data.ndjson_bodies import record, takes_rows
from academy.api.data.runs_shapes import (
    MoreSignals,
    RunSent,
    RunShown,
    RunsPage,
    RunsQuery,
    run_body,
)
from academy.store.data import runs
from academy.store.engine import Session
from academy.web.idempotency import Answer, creates, idempotent
from academy.web.paging import page_of
from academy.web.permissions import allows
from academy.web.state import state

blueprint = APIBlueprint("runs", __name__, tag="Lessons")


@blueprint.post("/runs")
@allows(Role.OPERATOR)
@takes_rows(RunSent)
@blueprint.output(Recorded, status_code=201)
def record_runs() -> Response:
    """Record one scored run (JSON) or many (NDJSON), all or none; sending again is harmless."""
    return record(RunSent, runs.add_runs, "run")


@blueprint.post("/runs/<run_id>/signals")
@allows(Role.OPERATOR)
@creates
@blueprint.input(MoreSignals, arg_name="sent")
@blueprint.output(RunShown)
def add_signals(run_id: str, sent: MoreSignals) -> Response:
    """Add signals to a run, or a reward; what is known already and sent again is replaced."""

    def work(session: Session) -> Answer:
        run = runs.add_signals(session, run_id, sent.known(), sent.reward)
        body = run_body(run)
        return Answer({**body, "created_at": run.created_at.isoformat()}, 200)

    return idempotent(work).response()


@blueprint.get("/runs")
@allows(Role.VIEWER)
@blueprint.input(RunsQuery, location="query", arg_name="query")
@blueprint.output(RunsPage)
def list_runs(query: RunsQuery) -> Response:
    """The recorded runs, newest first."""
    with state().reading() as session:
        page = page_of(
            query,
            lambda limit, after: runs.page(
                session, limit=limit, after=after, source=query.source, task_id=query.task_id
            ),
        )
    return page.answer(RunsPage, "runs", run_body)
