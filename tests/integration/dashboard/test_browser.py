"""The page in a real browser, in front of a real API process: what no test client sees."""

from __future__ import annotations

import pytest

from academy.events.sender import EventSender
from academy.lifecycle import JobKind, Status
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim
from tests.integration.dashboard.chromium import Page


@pytest.fixture
def running(settings: Settings, sessions: Sessions) -> str:
    """The id of a training that a worker carries out, with a line of its log and two losses."""
    job_id = _submit(sessions, JobKind.TRAINING, "gpu")
    with sessions.begin() as session:
        job = transitions.claim(session, "gpu", "worker-1", 600.0)
        assert job is not None
        transitions.start(session, Claim(job.id, job.fence, job.attempt, "worker-1"))
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        events.emit("log", level="info", message="\x1b[1;31m<b>begins</b>\x1b[0m")
        for step, loss in ((1, 2.5), (2, 1.25)):
            events.emit(
                "metrics", step=step, total_steps=4, loss=loss, progress=step / 4, epoch=0.5
            )
    return job_id


@pytest.fixture
def queued(running: str, sessions: Sessions) -> str:
    """The id of a curation that waits, made after the training that runs."""
    return _submit(sessions, JobKind.CURATION, "curation")


def _submit(sessions: Sessions, kind: JobKind, queue: str) -> str:
    job = Job(id=jobs.new_id(kind), kind=kind, queue=queue, parameters={})
    with sessions.begin() as session:
        transitions.submit(session, job)
    return job.id


def test_a_person_comes_in_by_a_link_sees_the_jobs_cancels_one_and_changes_the_language(
    page: Page, address: str, ticket: str, running: str, queued: str, sessions: Sessions
) -> None:
    page.open(f"{address}/academy?ticket={ticket}")
    page.wait_for(f"{_row(running)} && {_row(queued)}")
    assert page.value("location.href") == f"{address}/academy"
    assert page.value("document.documentElement.lang") == "en"
    assert "running" in page.value(f"{_row(running)}.textContent")
    page.wait_for("document.getElementById('overview-updated').textContent")

    # The training that runs is watched by itself, and what it prints stays text.
    page.wait_for("document.querySelectorAll('#log-lines li').length > 0")
    assert page.value("document.querySelector('#log-lines .message').textContent") == (
        "<b>begins</b>"
    )
    page.wait_for("document.querySelectorAll('#curve-svg polyline').length === 2")
    assert page.value("document.getElementById('figure-best').textContent") == "1.250"

    page.click(f'#jobs tr[data-key="{queued}"] [data-action="cancel"]')
    page.click("#ask[open] #ask-yes")
    page.wait_for(f"{_row(queued)}.textContent.includes('cancelled')")
    with sessions() as session:
        assert jobs.get(session, queued).status == Status.CANCELLED

    page.click('.languages a[lang="pl"]')
    page.wait_for("document.documentElement.lang === 'pl'")
    page.wait_for(f"{_row(running)}?.textContent.includes('w toku')")
    assert page.value("document.getElementById('dataset-title').textContent") == "Zbiór danych"
    assert page.value("document.getElementById('trouble').hidden")
    assert page.complaints == []


def test_what_the_page_may_not_do_is_heard_of(page: Page, address: str, ticket: str) -> None:
    """Else no complaint would say nothing in the test above."""
    page.open(f"{address}/academy?ticket={ticket}")
    page.wait_for("document.getElementById('overview-updated')?.textContent")
    assert page.complaints == []
    page.value("document.body.setAttribute('style', 'color: red')")
    page.wait_for_complaint("ContentSecurityPolicyIssue")
    page.value("setTimeout(() => { throw new Error('thrown on purpose') })")
    page.wait_for_complaint("thrown on purpose")
    page.value("fetch('/academy/static/missing.js')")
    page.wait_for_complaint("404")


def _row(job_id: str) -> str:
    return f"document.querySelector('#jobs tr[data-key=\"{job_id}\"]')"
