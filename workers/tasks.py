"""The tasks: a hint arrives, and the worker carries out one best job after the other.

A hint names no job, so a lost, late or doubled one changes nothing but the moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from academy import queues
from academy.attempt import Attempt, carry_out
from academy.store.engine import Session
from workers.app import app
from workers.process import WorkerProcess

log = logging.getLogger(__name__)

#: Set by the process that runs the tasks (see `workers.__main__`).
process: WorkerProcess | None = None


@app.task(name=queues.TASKS[queues.CURATION])
def curate() -> None:
    """Claim and carry out curations until none waits."""
    from academy.curation.supervisor import curate_job  # loads what only this queue needs

    _claim_and_carry_out(queues.CURATION, curate_job)


@app.task(name=queues.TASKS[queues.GPU])
def train() -> None:
    """Claim and carry out trainings until none waits."""
    from academy.training import supervisor

    _claim_and_carry_out(queues.GPU, supervisor.train)


def _claim_and_carry_out(queue: str, work: Callable[[Attempt], Callable[[Session], None]]) -> None:
    if process is None:
        raise RuntimeError("start the worker with `python -m workers`, which says who it is")
    while not process.draining.is_set():
        job = process.claim()
        if job is None:
            return
        log.info("claimed", extra={"job_id": job.id, "attempt": job.attempt, "fence": job.fence})
        carry_out(process.settings, process.sessions, job, process.draining, work, process.events)
