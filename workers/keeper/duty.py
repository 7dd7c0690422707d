"""What a duty of the keeper is, and what all duties of one keeper share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

import redis

from academy.events import stream
from academy.jobs.hints import Hints
from academy.settings import Settings
from academy.store.engine import Sessions


class Steadiness:
    """For how long Postgres has answered this keeper; leases may have been renewed only then."""

    def __init__(self) -> None:
        self._since: float | None = None

    def seconds(self) -> float:
        """Seconds without a failure, counted from the first time that this was asked."""
        now = time.monotonic()
        self._since = self._since if self._since is not None else now
        return now - self._since

    def end(self) -> None:
        """Postgres failed: the count begins anew."""
        self._since = None


@dataclass(frozen=True)
class Context:
    """The settings and connections of one keeper."""

    settings: Settings
    sessions: Sessions
    streams: redis.Redis
    hints: Hints
    steadiness: Steadiness = field(default_factory=Steadiness)

    @classmethod
    def of(cls, settings: Settings, sessions: Sessions) -> Context:
        """Connections open when they are used first."""
        return cls(settings, sessions, stream.shared(settings), Hints(settings, sessions))


class Duty(Protocol):
    """One thing that a keeper does in each sweep.

    Any number of keepers do it at once and may be killed at any moment, so each write is a
    conditional one that skips what another keeper has locked.
    """

    #: What the log calls it.
    name: str

    def __init__(self, context: Context) -> None: ...

    def do(self) -> int:
        """Do it once; how many things it was done to.

        May raise `StoreError`, `redis.RedisError` and `AcademyError`, which the loop logs.
        """
