"""The Celery application and its broker: how hints get there, and how many wait.

Only this file knows how Celery keeps a queue in Redis.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from academy.errors import AcademyError
from academy.events import stream
from academy.queues import TASKS
from academy.settings import Settings

#: The keeper publishes what did not get through, so a broker that hangs is given up sooner here
#: than by the workers (celeryconfig.py).
_PUBLISH_TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0, "max_retries": 0}

app = Celery("academy")
app.config_from_object("celeryconfig")
app.conf.imports = ("workers.tasks",)


class BrokerAway(AcademyError):
    """The broker takes no hints just now: {detail}."""

    code = "broker_unavailable"
    status = 503
    next_step = "Nothing is lost: the jobs start once the broker behind ACADEMY_REDIS_URL is back."


class HintSender:
    """Tells the workers of a queue that there is work, over a connection that it keeps."""

    def __init__(self, settings: Settings) -> None:
        self._connection = app.connection_for_write(
            url=settings.redis.url, transport_options=_PUBLISH_TIMEOUTS
        )
        self._lock = threading.Lock()
        self._client = stream.shared(settings)

    def send(self, queues: Iterable[str]) -> None:
        """One hint for each name. Raises `BrokerAway`; it never tries again by itself."""
        with self._lock:
            try:
                for queue in queues:
                    app.send_task(
                        TASKS[queue], queue=queue, connection=self._connection, retry=False
                    )
            except (OperationalError, redis.RedisError, OSError) as error:
                # The next hint gets a fresh connection: a broker that came back behind a dead one
                # would be waited for.
                self._connection.close()
                raise BrokerAway(detail=str(error)) from error

    def waiting(self, queue: str) -> int:
        """How many hints of a queue no worker has taken yet. Raises `BrokerAway`."""
        try:
            count: Any = self._client.llen(queue)  # kombu keeps a queue as a list of that name
        except redis.RedisError as error:
            raise BrokerAway(detail=str(error)) from error
        return int(count)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()
