"""The Celery application, and the hint that wakes a worker."""

from __future__ import annotations

from celery import Celery

from academy.queues import TASKS

app = Celery("academy")
app.config_from_object("celeryconfig")
app.conf.imports = ("workers.tasks",)


def send_hint(queue: str, job_id: str) -> None:
    """Tell a worker of `queue` that there is work. Raises kombu's errors; never retries."""
    app.send_task(TASKS[queue], args=[job_id], queue=queue, retry=False, ignore_result=True)
