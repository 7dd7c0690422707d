"""``/jobs/{id}/logs``, also below ``/train``: pages of the log, and all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import Role
from academy.api.jobs.logs_shapes import LogsPage, LogsQuery
from academy.events import history
from academy.events.event import START, EventId
from academy.store.jobs import jobs
from academy.web.declarations import TEXT, answers
from academy.web.permissions import allows
from academy.web.state import state
from academy.web.streamed import Streamed

blueprint = APIBlueprint("logs", __name__, tag="Logs")


@blueprint.get("/jobs/<job_id>/logs", endpoint="job_log_page")
@blueprint.get("/train/<job_id>/logs")
@allows(Role.VIEWER)
@blueprint.input(LogsQuery, location="query", arg_name="query")
@answers(200, "With ``download``: all lines.", TEXT, "text/plain")
@blueprint.output(LogsPage)
def log_page(job_id: str, query: LogsQuery) -> Any:
    """A page of log lines, oldest first; ``download=1`` gives all of them as text."""
    _require_job(job_id)
    after = EventId.parse(query.after) if query.after else START
    if query.download:
        return _as_file(job_id, history.log_lines(state().events, job_id, after, query.q))
    page = history.log_page(state().events, job_id, after, query.limit, query.q)
    last = page.lines[-1]["id"] if page.lines else (query.after or None)
    return {
        "job_id": job_id,
        "count": len(page.lines),
        "lines": page.lines,
        "has_more": page.last is not None,
        "next": str(page.last) if page.last is not None else last,
    }


def _as_file(job_id: str, lines: Iterator[dict[str, Any]]) -> Response:
    text = (f"{each['timestamp']} {each['level']:<7} {each['message']}\n" for each in lines)
    return Streamed(
        text,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{job_id}.log"'},
    )


def _require_job(job_id: str) -> None:
    with state().reading() as session:
        jobs.get(session, job_id)
