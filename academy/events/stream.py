"""The live log: one Redis Stream for each job, and one channel that wakes the hubs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from academy.errors import BadSetting
from academy.events.event import Event, EventId
from academy.settings import Settings
from academy.settings.forms import shown_address

WAKE_CHANNEL = "academy:wake"
#: Entries kept live; the archive has the rest.
LONGEST_STREAM = 100_000
#: Connections of one client. A thousand watchers that come at once need no more.
MOST_CONNECTIONS = 12


def require_address(settings: Settings, *, may_be_empty: bool = False) -> None:
    """Raise `BadSetting` if the address of Redis is none that can be meant; asks no server."""
    url = settings.redis.url
    if may_be_empty and not url:
        return
    try:
        parse_url(url)  # type: ignore[no-untyped-call]  # redis-py types it not
        is_meant = not url.startswith("unix:")  # Celery knows no such broker
    except ValueError:
        is_meant = False
    if not is_meant:
        allowed = "a redis:// or rediss:// address"
        raise BadSetting(name="ACADEMY_REDIS_URL", value=shown_address(url), allowed=allowed)


def connect(settings: Settings, *, timeout_seconds: float = 5.0) -> redis.Redis:
    """A client whose every wait ends; it reconnects by itself, and never repeats a command.

    It has `MOST_CONNECTIONS` at most; who finds them all taken waits for one as for an answer.
    """
    pool = redis.BlockingConnectionPool.from_url(
        settings.redis.url,
        max_connections=MOST_CONNECTIONS,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=min(timeout_seconds, 5.0),
        socket_keepalive=True,
        health_check_interval=25,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis.from_pool(pool)


@lru_cache(maxsize=8)
def shared(settings: Settings) -> redis.Redis:
    """This process's client for its server; it keeps its connections from job to job."""
    return connect(settings)


def key_of(job_id: str) -> str:
    """The stream's name."""
    return f"academy:events:{job_id}"


def append(client: redis.Redis, job_id: str, events: Sequence[Event]) -> None:
    """Add events of one job under their own ids and wake the hubs; see `append_all`."""
    append_all(client, [(job_id, events)])


def append_all(client: redis.Redis, parts: Iterable[tuple[str, Sequence[Event]]]) -> None:
    """Add events of several jobs under their own ids and wake the hubs, in one round trip.

    Redis refuses an id that is not above the stream's last one, so an event that was sent before,
    or that an earlier attempt still sends, changes nothing. Raises `redis.RedisError`.
    """
    pipeline = client.pipeline(transaction=False)
    for job_id, events in parts:
        key = key_of(job_id)
        for event in events:
            pipeline.xadd(
                key,
                {"e": event.line},
                id=str(event.id),
                maxlen=LONGEST_STREAM,
                approximate=True,
            )
        pipeline.publish(WAKE_CHANNEL, job_id)
    for answer in pipeline.execute(raise_on_error=False):
        if isinstance(answer, redis.ResponseError) and "equal or smaller" in str(answer):
            continue
        if isinstance(answer, Exception):
            raise answer


def read(client: redis.Redis, job_id: str, after: EventId, count: int) -> list[Event]:
    """Up to `count` events after `after`, in order."""
    # XRANGE's "(" makes the lower bound exclusive.
    entries: Any = client.xrange(key_of(job_id), min=f"({after}", max="+", count=count)
    return [Event.from_json(fields[b"e"]) for _, fields in entries]


def last_id(client: redis.Redis, job_id: str) -> EventId | None:
    """The id of the last event in the stream; None if there is none."""
    newest: Any = client.xrevrange(key_of(job_id), count=1)
    return EventId.parse(newest[0][0].decode()) if newest else None


def subscribe(client: redis.Redis) -> redis.client.PubSub:
    """Listen for wake-ups; each message's data is a job id. Raises `redis.RedisError`."""
    subscription = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    subscription.subscribe(WAKE_CHANNEL)
    return cast(redis.client.PubSub, subscription)
