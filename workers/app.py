"""The Celery application, and the hints that wake workers."""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery

from academy.queues import TASKS
from academy.settings import Settings

app = Celery("academy")
app.config_from_object("celeryconfig")
app.conf.imports = ("workers.tasks",)


def send_hints(settings: Settings, hints: Iterable[tuple[str, str]]) -> int:
    """Tell the workers of each (queue, job id) that there is work; how many hints were sent.

    One fresh connection for all of them: a broker that came back behind a dead connection is never
    waited for. Raises kombu's and redis's errors; never retries.
    """
    sent = 0
    with app.connection_for_write(url=settings.redis_url) as connection:
        for queue, job_id in hints:
            app.send_task(
                TASKS[queue], args=[job_id], queue=queue, connection=connection, retry=False
            )
            sent += 1
    return sent
