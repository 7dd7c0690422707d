"""The Celery application, and the hints that wake workers."""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery

from academy.queues import TASKS
from academy.settings import Settings

#: A client may be waiting for its answer, and the keeper publishes what did not get through; so a
#: broker that hangs is given up sooner here than by the workers (celeryconfig.py).
_PUBLISH_TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0, "max_retries": 0}

app = Celery("academy")
app.config_from_object("celeryconfig")
app.conf.imports = ("workers.tasks",)


def send_hints(settings: Settings, hints: Iterable[tuple[str, str]]) -> int:
    """Tell the workers of each (queue, job id) that there is work; how many hints were sent.

    One fresh connection for all of them: a broker that came back behind a dead connection is never
    waited for. Raises kombu's and redis's errors; never retries.
    """
    sent = 0
    with app.connection_for_write(
        url=settings.redis_url, transport_options=_PUBLISH_TIMEOUTS
    ) as connection:
        for queue, job_id in hints:
            app.send_task(
                TASKS[queue], args=[job_id], queue=queue, connection=connection, retry=False
            )
            sent += 1
    return sent
