"""The table of jobs and the job's own part of the page, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from academy.dashboard.languages import LANGUAGES
from academy.events.sender import EventSender
from academy.lifecycle import FailureCode, JobKind
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, leases, transitions
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim, Failure
from tests.integration.dashboard.chromium import Page

WORKER = "worker-1"


def make(sessions: Sessions, kind: JobKind = JobKind.TRAINING, role: str | None = None) -> str:
    """A queued job of a kind; each kind has a queue to itself."""
    queue = "gpu" if kind == JobKind.TRAINING else "curation"
    job = Job(id=jobs.new_id(kind), kind=kind, queue=queue, parameters={}, role=role)
    with sessions.begin() as session:
        transitions.submit(session, job)
    return job.id


def hold(sessions: Sessions, figures: dict[str, Any], queue: str = "gpu") -> Claim:
    """The only queued job of a queue, claimed, started, and as far as the figures tell."""
    with sessions.begin() as session:
        job = transitions.claim(session, queue, WORKER, 600.0)
        assert job is not None
        held = Claim(job.id, job.fence, job.attempt, WORKER)
        transitions.start(session, held)
        leases.renew(session, held, 600.0, figures)
    return held


def ended(sessions: Sessions, code: FailureCode | None, share: float) -> str:
    """A training that failed with a code, or was cancelled, at a share of its work."""
    job_id = make(sessions)
    held = hold(sessions, {"progress": share, "eta_seconds": 40.0})
    with sessions.begin() as session:
        if code is None:
            transitions.request_cancel(session, job_id)
            transitions.stopped(session, held)
        else:
            failure = Failure(code, f"It met {code}.", "Look again.")
            transitions.fail_or_retry(session, held, failure, max_crashes=1, retry_seconds=0.0)
    return job_id


@pytest.fixture
def enter(page: Page, address: str, ticket: str) -> Callable[[str], None]:
    """Signs the browser in and opens the page with a query."""

    def opened(query: str = "") -> None:
        page.open(f"{address}/academy?ticket={ticket}{query and '&' + query}")
        page.wait_for("document.getElementById('overview-updated')?.textContent")

    return opened


def test_the_list_is_filtered_by_its_address_which_reloads_and_goes_back_and_forward(
    page: Page, enter, address: str, sessions: Sessions
) -> None:
    failed = ended(sessions, FailureCode.DIVERGED, 0.5)
    training, curation = make(sessions, role="coder"), make(sessions, JobKind.CURATION)
    enter()
    page.wait_for("document.querySelectorAll('#jobs tr').length === 3")

    choose(page, "filter-status", "queued")
    shows(page, [curation, training])
    assert page.value("location.search") == "?status=queued"
    choose(page, "filter-kind", "training")
    shows(page, [training])
    assert page.value("location.search") == "?status=queued&kind=training"
    page.value("history.back()")
    shows(page, [curation, training])
    assert page.value("document.getElementById('filter-kind').value") == ""
    page.value("history.forward()")
    shows(page, [training])
    page.value("location.reload()")
    page.wait_for("document.getElementById('overview-updated')?.textContent")
    shows(page, [training])
    assert page.value("document.getElementById('filter-kind').value") == "training"

    choose(page, "filter-role", "reviewer")
    page.wait_for("!document.getElementById('jobs-none').hidden")
    assert page.value("document.getElementById('jobs-none').textContent") == (
        "No job matches these filters."
    )
    page.click("#jobs-all")
    shows(page, [curation, training, failed])
    assert page.value("location.search") == ""

    page.open(f"{address}/academy?status=lost&kind=curation")
    shows(page, [curation])
    assert "“lost”" in page.value("document.getElementById('jobs-wrong').textContent")
    assert page.complaints == []


def test_a_job_has_an_address_that_survives_a_reload_and_another_language(
    page: Page, enter, sessions: Sessions
) -> None:
    failed, waits = ended(sessions, FailureCode.DIVERGED, 0.5), make(sessions)
    enter(f"job={failed}")
    assert page.value("location.search") == f"?job={failed}"
    page.wait_for("!document.getElementById('log').hidden")
    assert page.value("document.getElementById('log-title').textContent") == f"Job {failed}"
    why = page.value("document.getElementById('log-failure').textContent")
    assert why.startswith("The training diverged") and why.endswith("It met diverged. Look again.")

    page.click(f'#jobs tr[data-key="{waits}"] a')
    page.wait_for(f"location.search === '?job={waits}'")
    page.wait_for(f"document.getElementById('log-title').textContent === 'Job {waits}'")
    page.value("history.back()")
    page.wait_for(f"document.getElementById('log-title').textContent === 'Job {failed}'")
    page.value("location.reload()")
    page.wait_for(f"document.getElementById('log-title')?.textContent === 'Job {failed}'")

    page.click('.languages a[lang="de"]')
    page.wait_for("document.documentElement.lang === 'de'")
    page.wait_for("document.getElementById('log-failure')?.textContent")
    assert page.value("location.search") == f"?job={failed}"
    assert "Das Training ist divergiert" in page.value(
        "document.getElementById('log-failure').textContent"
    )
    assert page.value("document.querySelector('#log-failure [lang=en]').textContent") == (
        "It met diverged. Look again."
    )
    assert page.complaints == []


def test_a_job_that_does_not_exist_is_told_and_not_asked_for_again(
    page: Page, enter, sessions: Sessions
) -> None:
    there = make(sessions)
    enter("job=train_nobody")
    page.wait_for("!document.getElementById('log-missing').hidden")
    assert page.value("document.getElementById('log-missing').textContent") == (
        "There is no job “train_nobody”. Check the address, or choose a job from the list."
    )
    assert page.value("document.getElementById('log').hidden")
    page.click(f'#jobs tr[data-key="{there}"] [data-action="watch"]')
    page.wait_for("!document.getElementById('log').hidden")
    assert page.value("document.getElementById('log-missing').hidden")


def test_a_job_that_did_not_get_to_its_end_has_a_bar_of_its_own_and_says_how_far_it_came(
    page: Page, enter, settings: Settings, sessions: Sessions
) -> None:
    wanted = {
        ended(sessions, FailureCode.DIVERGED, 0.4): ("failed", "failed at 40%", "failed"),
        ended(sessions, FailureCode.INTERNAL, 1.0): ("failed", "failed at 100%", "failed"),
        ended(sessions, FailureCode.STORAGE, 0.996): ("failed", "failed at 99%", "failed"),
        ended(sessions, FailureCode.TIMEOUT, 0.7): ("timed_out", "timed out at 70%", "timed out"),
        ended(sessions, None, 0.2): ("cancelled", "cancelled at 20%", "cancelled"),
    }
    enter()
    page.wait_for(f"document.querySelectorAll('#jobs tr').length === {len(wanted)}")
    for job_id, (look, words, status) in wanted.items():
        row = f"document.querySelector('#jobs tr[data-key=\"{job_id}\"]')"
        assert page.value(f"{row}.querySelector('progress').className") == look
        assert page.value(f"{row}.querySelector('.progress').textContent") == words
        assert page.value(f"{row}.querySelector('.badge').textContent") == status
        # Drawn by the page, and so not the browser's bar in the colour of what goes on.
        style = f"getComputedStyle({row}.querySelector('progress'))"
        assert page.value(f"{style}.appearance") == "none"
    # The part of the page that shows one job tells the same, also where the job's own events know
    # of more than its row, which is written now and then.
    job_id = next(iter(wanted))
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        events.emit("metrics", step=9, total_steps=20, loss=2.5, progress=0.45, epoch=0.5)
        events.emit("status", status="failed", failure=None)
    page.click(f'#jobs tr[data-key="{job_id}"] [data-action="watch"]')
    page.wait_for("document.getElementById('log-progress').textContent === 'failed at 45%'")
    assert page.value("document.querySelector('#log-progress progress').className") == "failed"
    row = f"document.querySelector('#jobs tr[data-key=\"{job_id}\"]')"
    assert page.value(f"{row}.querySelector('.progress').textContent") == "failed at 45%"


def test_one_job_has_one_estimate_on_the_whole_page_and_its_held_out_losses_on_its_curve(
    page: Page, enter, settings: Settings, sessions: Sessions
) -> None:
    job_id = make(sessions)
    stored = {"progress": 0.25, "eta_seconds": 90.0, "eta_low": 80.0, "eta_high": 100.0}
    hold(sessions, stored)
    enter()
    lefts = f"[...document.querySelectorAll('[data-time-left-of=\"{job_id}\"]')]"
    page.wait_for(f"{lefts}.length >= 2 && {lefts}.every((each) => each.textContent !== '–')")
    assert set(_plain(page, lefts)) == {"about 1 min 30 sec (1 min 20 sec – 1 min 40 sec)"}

    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        events.emit("evaluation", name="base", step=0, loss=3.0, rows=1)
        for step, loss in ((1, 2.5), (2, 1.25)):
            left = {"eta_seconds": 60.0, "eta_low": 55.0, "eta_high": 65.0}
            share = {"step": step, "total_steps": 4, "loss": loss, "progress": step / 4}
            events.emit("metrics", epoch=0.5, **share, **left)
        events.emit("evaluation", name="adapter", step=2, loss=1.5, rows=12)
    page.wait_for(f"{lefts}.every((each) => each.textContent.includes('55'))")
    assert set(_plain(page, lefts)) == {"about 1 min (55 sec – 1 min 5 sec)"}
    percents = "[...document.querySelectorAll('.progress')].map((each) => each.textContent)"
    assert set(page.value(percents)) == {"50%"}

    page.wait_for("document.querySelectorAll('#curve-svg .heldout.adapter').length === 1")
    marks = "[...document.querySelectorAll('#curve-svg .heldout title')]"
    tips = page.value(f"{marks}.map((each) => each.textContent)")
    base = "Held-out loss of the base model at step 0: 3.000 (1 row)"
    after = "Held-out loss of the adapter at step 2: 1.500 (12 rows)"
    assert set(tips) == {base, after}
    told = page.value("document.querySelector('#curve-svg > title').textContent")
    assert base in told and after in told
    listed = "[...document.querySelectorAll('#curve-heldout-list li')]"
    assert page.value(f"{listed}.map((each) => each.textContent)") == [base, after]
    # A ring and a square, so that they are told apart without their colours.
    ends = "getComputedStyle(document.querySelector('#curve-svg .heldout.{}')).strokeLinecap"
    assert page.value(ends.format("base")) == "round"
    assert page.value(ends.format("adapter")) == "square"
    assert page.value("document.querySelectorAll('.legend li').length") == 4
    assert page.complaints == []


@pytest.mark.parametrize("width", [360, 414])
def test_on_a_phone_nothing_is_wider_than_the_page_and_cancelling_is_in_sight(
    page: Page, address: str, enter, sessions: Sessions, width: int
) -> None:
    ended(sessions, FailureCode.NVIDIA_RUNTIME_MISSING, 0.4)
    job_id = make(sessions)
    hold(sessions, {"progress": 0.25, "eta_seconds": 90.0, "eta_low": 80.0, "eta_high": 100.0})
    page.resize(width, 780)
    enter()
    for language in LANGUAGES:
        page.open(f"{address}/academy?language={language}")
        page.wait_for(f"document.documentElement.lang === '{language}'")
        cancel = f"document.querySelector('#jobs tr[data-key=\"{job_id}\"] [data-action=cancel]')"
        page.wait_for(f"{cancel} !== null && document.getElementById('log-status').textContent")
        page.wait_for("document.getElementById('overview-updated').textContent")
        assert page.value("document.documentElement.scrollWidth") <= width, language
        wide = (
            "[...document.querySelectorAll('.panel, .panel *, header *')].filter((each) =>"
            " each.getBoundingClientRect().right > innerWidth + 1"
            " && !each.closest('.hidden, thead, svg')"
            " && getComputedStyle(each).clipPath === 'none').map((each) => each.outerHTML)"
        )
        assert page.value(wide) == [], language
        page.value(f"{cancel}.scrollIntoView({{ block: 'center', behavior: 'instant' }})")
        assert page.value(
            f"(() => {{ const box = {cancel}.getBoundingClientRect();"
            f" return {cancel}.contains(document.elementFromPoint("
            " box.x + box.width / 2, box.y + box.height / 2)); })()"
        ), language
        labels = f"[...{cancel}.closest('tr').cells].map((each) => each.dataset.label)"
        assert all(page.value(labels)), language
    page.click(f'#jobs tr[data-key="{job_id}"] [data-action="cancel"]')
    page.wait_for("document.getElementById('ask').open")
    box = "document.getElementById('ask').getBoundingClientRect()"
    assert page.value(f"{box}.left >= 0 && {box}.right <= innerWidth")
    page.click("#ask-no")
    page.wait_for("!document.getElementById('ask').open")
    with sessions() as session:
        assert jobs.get(session, job_id).status == "running"


def choose(page: Page, field: str, value: str) -> None:
    """Set a filter as a person does."""
    node = f"document.getElementById({json.dumps(field)})"
    page.value(f"{node}.value = {json.dumps(value)}")
    page.value(f"{node}.dispatchEvent(new Event('change'))")


def shows(page: Page, wanted: list[str]) -> None:
    """Wait until the table has these jobs, in this order."""
    found = "JSON.stringify([...document.querySelectorAll('#jobs tr')].map((e) => e.dataset.key))"
    page.wait_for(f"{found} === {json.dumps(json.dumps(wanted, separators=(',', ':')))}")


def _plain(page: Page, nodes: str) -> list[str]:
    found = page.value(f"{nodes}.map((each) => each.textContent)")
    return [each.replace("\u00a0", " ") for each in found]
