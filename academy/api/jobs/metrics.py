"""``/jobs/{id}/metrics``: the figures of a job over its steps, as JSON or as CSV."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import request

from academy.access.keys import Role
from academy.api.jobs.jobs_shapes import MetricsQuery, Series
from academy.events import series_csv
from academy.events.history import series
from academy.store.jobs import jobs
from academy.web.declarations import TEXT, answers
from academy.web.permissions import allows
from academy.web.state import state
from academy.web.streamed import Streamed

blueprint = APIBlueprint("metrics", __name__, tag="Jobs")

also_as_csv = answers(200, "A row for each step and each evaluation.", TEXT, series_csv.MEDIA_TYPE)


@blueprint.get("/jobs/<job_id>/metrics")
@allows(Role.VIEWER)
@blueprint.input(MetricsQuery, location="query", arg_name="query")
@also_as_csv
@blueprint.output(Series)
def job_metrics(job_id: str, query: MetricsQuery) -> Any:
    """The figures of a job over its steps, thinned out on request.

    As CSV with ``format=csv``, or without ``format`` for ``Accept: text/csv``.
    """
    with state().reading() as session:
        jobs.get(session, job_id)
    return figures_of(job_id, query)


def figures_of(job_id: str, query: MetricsQuery) -> Any:
    """The answer in the form that was asked for."""
    found = series(state().events, job_id, query.points)
    if not _wants_csv(query):
        return found
    return Streamed(
        series_csv.lines_of(found),
        content_type=f"{series_csv.MEDIA_TYPE}; charset=utf-8; header=present",
        headers={
            "Content-Disposition": f'attachment; filename="{job_id}-metrics.csv"',
            "Vary": "Accept",
        },
    )


def _wants_csv(query: MetricsQuery) -> bool:
    if query.format is not None:
        return query.format == "csv"
    forms = ("application/json", series_csv.MEDIA_TYPE)
    return request.accept_mimetypes.best_match(forms) == series_csv.MEDIA_TYPE
