"""Rows of a kind that only another version of Academy declares: shown by name, in nobody's way."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from academy.lifecycle import JobKind
from academy.schedules.firing import fire_due
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job

KIND = "of_tomorrow"


@pytest.fixture
def job_of_tomorrow(sessions: Sessions) -> str:
    """A queued job such as a newer version leaves it, after which this one was started again."""
    allowed = ", ".join(f"'{name}'" for name in (*JobKind, KIND))
    job = Job(id=jobs.new_id(KIND), kind=KIND, queue="gpu", parameters={})
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check"))
        session.execute(
            text(f"ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN ({allowed}))")
        )
        transitions.submit(session, job)
    return job.id


def test_a_job_of_an_unknown_kind_is_listed_shown_and_cancelled(admin, job_of_tomorrow) -> None:
    listed = admin.get("/jobs")
    assert listed.status_code == 200
    assert [(each["job_id"], each["kind"]) for each in listed.json["jobs"]] == [
        (job_of_tomorrow, KIND)
    ]
    for path in (f"/jobs/{job_of_tomorrow}", f"/train/{job_of_tomorrow}/status"):
        shown = admin.get(path)
        assert (shown.status_code, shown.json["kind"]) == (200, KIND)
        assert not shown.json["can_pause"]
    paused = admin.post(f"/jobs/{job_of_tomorrow}/pause")
    assert paused.status_code == 409 and KIND in paused.json["detail"]
    assert admin.get("/status").status_code == 200
    assert admin("DELETE", f"/jobs/{job_of_tomorrow}").json["status"] == "cancelled"
    assert admin.get(f"/jobs/{job_of_tomorrow}").json["status"] == "cancelled"


def test_a_schedule_of_an_unknown_kind_is_listed_shown_and_changed(
    admin, sessions: Sessions, settings: Settings
) -> None:
    body = {"kind": "curation", "every": "1h"}
    admin.post("/schedules", json=body | {"name": "hourly"})
    with sessions.begin() as session:
        due = "UPDATE schedules SET kind = :kind, next_at = now() WHERE name = 'hourly'"
        session.execute(text(due), {"kind": KIND})
    assert fire_due(sessions, settings) == 0
    assert [each["kind"] for each in admin.get("/schedules").json["schedules"]] == [KIND]
    shown = admin.get("/schedules/hourly")
    assert (shown.status_code, shown.json["kind"]) == (200, KIND)
    changed = admin("PUT", "/schedules/hourly", json=body)
    assert (changed.status_code, changed.json["kind"]) == (200, "curation")
