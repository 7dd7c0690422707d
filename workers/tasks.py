"""The tasks: a hint arrives, and the worker carries out one best job after the other.

A hint names no job, so a lost, late or doubled one changes nothing but the moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from academy import queues
from academy.jobs.attempt import Attempt, carry_out
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
    """Claim and carry out trainings, and parts in those of other workers, until none waits."""
    from academy.training import supervisor

    _claim_and_carry_out(queues.GPU, supervisor.train)


def _claim_and_carry_out(queue: str, work: Callable[[Attempt], Callable[[Session], None]]) -> None:
    if process is None:
        raise RuntimeError("start the worker with `python -m workers`, which says who it is")
    process.is_busy.set()
    try:
        while not process.draining.is_set():
            if _took_part(process):
                continue
            job = process.claim()
            if job is None:
                return
            told = {"job_id": job.id, "attempt": job.attempt, "fence": job.fence}
            log.info("claimed", extra=told)
            carry_out(
                process.settings, process.sessions, job, process.draining, work, process.events
            )
    finally:
        process.is_busy.clear()


def _took_part(process: WorkerProcess) -> bool:
    """Whether there was a part in another worker's job to take, which is then over."""
    part = process.part()
    if part is None or process.gives_back(part):
        return False
    from academy.training.membership import take_part

    log.info("takes part", extra={"job_id": part.claim.job_id, "fence": part.claim.fence})
    take_part(process.settings, process.sessions, part, process.draining)
    return True
