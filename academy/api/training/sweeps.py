"""``/train/sweep``: searching for the recipe that learns most."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import Role
from academy.api.training.sweeps_shapes import (
    SweepShown,
    SweepsPage,
    SweepStarted,
    summary_body,
    sweep_body,
)
from academy.events.closing import try_to_close_events
from academy.store.engine import Session
from academy.store.plans import sweeps
from academy.sweeps.advance import cancel_sweep, create_sweep
from academy.sweeps.request import SweepRequest
from academy.web.declarations import refuses
from academy.web.idempotency import Answer, creates, idempotent, publish_hints
from academy.web.paging import PageQuery, page_of
from academy.web.permissions import allows, principal
from academy.web.state import state

blueprint = APIBlueprint("sweeps", __name__, tag="Training")


@blueprint.post("/train/sweep")
@allows(Role.OPERATOR)
@creates
@blueprint.input(SweepRequest, arg_name="wanted")
@blueprint.output(SweepStarted, status_code=202)
def start_sweep(wanted: SweepRequest) -> Response:
    """Begin a sweep: its first trials are queued at once, the keepers begin the others."""

    def work(session: Session) -> Answer:
        sweep = create_sweep(session, state().settings, wanted, principal().name)
        body = {
            "success": True,
            "message": f"Sweep of at most {wanted.trials} trials started",
            "sweep_id": sweep.id,
            "status": sweep.status,
            "max_trials": wanted.trials,
        }
        return Answer(body, 202, {"Location": f"/api/v1/academy/train/sweep/{sweep.id}"})

    answer = idempotent(work)
    publish_hints()
    return answer.response()


@blueprint.get("/train/sweep")
@allows(Role.VIEWER)
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(SweepsPage)
def list_sweeps(query: PageQuery) -> Response:
    """The sweeps, newest first."""
    with state().reading() as session:
        page = page_of(query, lambda limit, after: sweeps.page(session, limit=limit, after=after))
    return page.answer(SweepsPage, "sweeps", summary_body)


@blueprint.get("/train/sweep/<sweep_id>")
@allows(Role.VIEWER)
@blueprint.output(SweepShown)
def show_sweep(sweep_id: str) -> dict[str, Any]:
    """One sweep: its trials with their losses, and the best of them."""
    with state().reading() as session:
        return sweep_body(session, sweeps.get(session, sweep_id), sweeps.trials(session, sweep_id))


@blueprint.delete("/train/sweep/<sweep_id>")
@allows(Role.OPERATOR)
@refuses(409)
@blueprint.output(SweepStarted)
def cancel_whole_sweep(sweep_id: str) -> dict[str, Any]:
    """Cancel a sweep and every trial that is not over."""
    with state().sessions.begin() as session:
        ended = cancel_sweep(session, sweep_id)
        body = summary_body(sweeps.get(session, sweep_id))
    for job_id in ended:
        try_to_close_events(state().sessions, state().redis, job_id)
    return {
        "success": True,
        "message": "Sweep cancelled; trials that run were asked to stop",
        "sweep_id": sweep_id,
        "status": body["status"],
        "max_trials": body["max_trials"],
    }
