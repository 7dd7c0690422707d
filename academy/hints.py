"""Publishing the hints of the outbox to the broker.

A hint only makes a job start sooner; Postgres is the job. So publishing is best effort: what does
not get through now is published by the keeper.
"""

from __future__ import annotations

import logging
import threading
import time

import redis

from academy.settings import Settings
from academy.store import hints
from academy.store.engine import Sessions, StoreError

log = logging.getLogger(__name__)

#: After a failure the broker is left alone for so long, so that no request waits for it in vain.
_REST_SECONDS = 5.0
_rest_until = 0.0
_lock = threading.Lock()


def publish_waiting(sessions: Sessions, settings: Settings) -> int:
    """Send the hints that wait in the outbox; how many got through. Never raises, never hangs."""
    global _rest_until
    # Celery is the workers' room; it is loaded where a hint is really sent.
    from kombu.exceptions import OperationalError

    from workers.app import send_hints

    if time.monotonic() < _rest_until or not _lock.acquire(timeout=1.0):
        return 0
    sent = 0
    try:
        with sessions.begin() as session:
            waiting = hints.take_unpublished(session)
            if waiting:
                sent = send_hints(settings, [(hint.queue, hint.job_id) for hint in waiting])
            hints.mark_published(session, [hint.id for hint in waiting])
    except (OperationalError, redis.RedisError, OSError, StoreError) as error:
        _rest_until = time.monotonic() + _REST_SECONDS
        log.warning("hints wait for the broker: %s", type(error).__name__)
    finally:
        _lock.release()
    return sent
