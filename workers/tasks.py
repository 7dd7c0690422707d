"""The tasks: a hint arrives, and the worker carries out one best job after the other.

A hint names no job, so a lost, late or doubled one changes nothing but the moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from academy import queues
from academy.jobs import kinds
from academy.jobs.attempt import carry_out
from workers.app import app
from workers.process import WorkerProcess

log = logging.getLogger(__name__)

#: Set by the process that runs the tasks (see `workers.__main__`).
process: WorkerProcess | None = None


def _task(queue: str) -> Callable[[], None]:
    """The task that the hints of `queue` call: claim and carry out its jobs until none waits."""

    @app.task(name=queues.TASKS[queue])
    def work_off() -> None:
        _work_off()

    task: Callable[[], None] = work_off
    return task


#: The task of each queue. On `gpu` it also takes parts in jobs of other workers.
OF_QUEUE = {queue: _task(queue) for queue in queues.QUEUES}


def _work_off() -> None:
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
                process.settings,
                process.sessions,
                job,
                process.draining,
                kinds.of(job.kind).work,
                process.events,
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
