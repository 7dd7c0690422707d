"""The tasks: a hint arrives, the worker claims the best job it can run, carries it out, reports.

A hint names a job only for the log: any hint claims the best job, so a lost, late or doubled hint
changes nothing but the moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from academy import queues
from academy.attempt import Attempt, carry_out
from academy.store import transitions
from academy.store.engine import Session
from workers.app import app
from workers.process import WorkerProcess

log = logging.getLogger(__name__)

#: Set by the process that runs the tasks (see `workers.__main__`).
process: WorkerProcess | None = None


@app.task(name=queues.TASKS[queues.CURATION])
def curate(job_id: str) -> None:
    """Claim and carry out the best curation job."""
    from academy.curation.supervisor import curate_job  # loads what only this queue needs

    _claim_and_carry_out(queues.CURATION, job_id, curate_job)


@app.task(name=queues.TASKS[queues.GPU])
def train(job_id: str) -> None:
    """Claim and carry out the best training job."""
    from academy.training import supervisor

    _claim_and_carry_out(queues.GPU, job_id, supervisor.train)


def _claim_and_carry_out(
    queue: str, hinted: str, work: Callable[[Attempt], Callable[[Session], None]]
) -> None:
    if process is None:
        raise RuntimeError("start the worker with `python -m workers`, which says who it is")
    if process.draining.is_set():
        return  # the job stays queued; the keeper hints at it again
    with process.sessions.begin() as session:
        job = transitions.claim(session, queue, process.id, process.settings.lease_seconds)
    if job is None:
        log.debug("nothing to claim", extra={"hinted": hinted, "queue": queue})
        return
    log.info("claimed", extra={"job_id": job.id, "attempt": job.attempt, "fence": job.fence})
    carry_out(process.settings, process.sessions, job, process.draining, work)
