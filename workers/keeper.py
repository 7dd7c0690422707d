"""``python -m workers.keeper``: the sweeps that make every promise come true in the end.

Run one, two or more: each sweep is a conditional UPDATE that skips what another keeper has locked.
"""

from __future__ import annotations

import logging
import signal
import threading
import time

import redis

from academy import logs
from academy.artifacts.store import ArtifactStore
from academy.errors import AcademyError
from academy.events import stream
from academy.events.closing import close_events
from academy.jobs.hints import Hints
from academy.ops import garbage
from academy.schedules.firing import fire_due
from academy.settings import Settings
from academy.store.engine import Sessions, StoreError, make_sessions
from academy.store.jobs import gangs, hints, jobs, leases, transitions
from academy.sweeps.advance import advance_sweeps

log = logging.getLogger(__name__)

#: Jobs whose owner had so many seconds to close the events itself.
_CLOSE_AFTER_SECONDS = 30.0
_FORGET_HINTS_AFTER_SECONDS = 3600.0
#: The artifact store is listed as a whole, which may take a while.
_COLLECT_EVERY_SECONDS = 3600.0


class Keeper:
    """One keeper. `sweep` does everything once; `run` does it until told to stop."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._settings = settings
        self._sessions = sessions
        self._client = stream.shared(settings)
        self._hints = Hints(settings, sessions)
        #: Since when Postgres has answered every sweep; leases may have been renewed only then.
        self._steady_since: float | None = None
        self._collected_at: float | None = None

    def run(self, stopping: threading.Event) -> None:
        """Sweep every ``keeper_seconds`` until `stopping` is set."""
        while not stopping.is_set():
            self.sweep()
            stopping.wait(self._settings.keeper_seconds)

    def sweep(self) -> None:
        """Every duty once; one that fails does not keep the others from being done."""
        for duty in (
            self.fire_schedules,
            self.advance_sweeps,
            self.publish_hints,
            self.reap,
            self.remove_orphans,
            self.repeat_lost_hints,
            self.close_events,
            self.drop_old_streams,
            self.forget_hints,
            self.collect_garbage,
        ):
            try:
                duty()
            except StoreError as error:
                self._steady_since = None
                log.warning("Postgres failed %s: %s", duty.__name__, type(error).__name__)
                return
            except (redis.RedisError, OSError) as error:
                log.warning("Redis failed %s: %s", duty.__name__, error)
            except AcademyError as error:
                log.warning("%s failed: %s", duty.__name__, error)
            except Exception:
                # One damaged row or event must not keep a keeper from its other duties.
                log.exception("%s failed", duty.__name__)

    def fire_schedules(self) -> int:
        """Submit the jobs whose time has come."""
        return fire_due(self._sessions, self._settings)

    def advance_sweeps(self) -> int:
        """Begin the next trials of sweeps, and stop poor ones."""
        return advance_sweeps(self._sessions, self._settings)

    def publish_hints(self) -> int:
        """Publish the hints that no API process got to the broker."""
        return self._hints.publish()

    def reap(self) -> int:
        """Take jobs away from workers whose lease ran out.

        After an outage of Postgres itself every lease looks dead. So nothing is reaped until
        Postgres has been up, and has answered this keeper, for as long as a renewal may take.
        """
        now = time.monotonic()
        self._steady_since = self._steady_since if self._steady_since is not None else now
        grace = 2 * self._settings.heartbeat_seconds
        with self._sessions.begin() as session:
            uptime = leases.postgres_uptime_seconds(session)
            if min(uptime, now - self._steady_since) < grace:
                return 0
            reaped = transitions.reap(
                session,
                max_crashes=self._settings.max_crashes,
                retry_seconds=self._settings.retry_seconds,
            )
        if reaped:
            log.warning("leases ran out", extra={"jobs": reaped})
        with self._sessions.begin() as session:
            silent = gangs.reap(session)
        if silent:
            log.warning("parts in jobs of other workers ran out", extra={"parts": silent})
        return reaped

    def remove_orphans(self) -> int:
        """Remove the containers of this host whose job nobody holds under their fence."""
        from academy.training.launchers.orphans import remove_orphans  # loads the Docker client

        return remove_orphans(self._sessions, self._settings)

    def repeat_lost_hints(self) -> int:
        """Top up the broker where fewer hints wait than jobs have been waiting for some time."""
        with self._sessions() as session:
            ready = hints.claimable(session, older_than_seconds=self._settings.hint_seconds)
        repeated = self._hints.repeat(ready)
        if repeated:
            log.info("hints repeated", extra={"hints": repeated})
        return repeated

    def close_events(self) -> int:
        """Bring the events of finished jobs to their end where their owner could not."""
        after = min(_CLOSE_AFTER_SECONDS, self._settings.lease_seconds)
        with self._sessions() as session:
            ended = jobs.with_open_events(session, finished_before_seconds=after)
            ids = [job.id for job in ended]
        for job_id in ids:
            close_events(self._sessions, self._client, job_id)
        return len(ids)

    def drop_old_streams(self) -> int:
        """Delete the live streams of jobs that were archived long enough ago."""
        dropped = 0
        prefix = stream.key_of("")
        names: list[str] = []
        for key in self._client.scan_iter(match=f"{prefix}*", count=500):
            names.append(key.decode().removeprefix(prefix))
        for start in range(0, len(names), 500):
            with self._sessions() as session:
                done = jobs.closed_streams(
                    session,
                    closed_before_seconds=self._settings.stream_grace_seconds,
                    job_ids=names[start : start + 500],
                )
            for job_id in done:
                self._client.delete(stream.key_of(job_id))
                dropped += 1
        return dropped

    def collect_garbage(self) -> int:
        """Remove what nobody names from the artifact store, now and then."""
        interval = min(_COLLECT_EVERY_SECONDS, self._settings.artifact_grace_seconds)
        now = time.monotonic()
        if self._collected_at is not None and now - self._collected_at < interval:
            return 0
        self._collected_at = now
        return len(
            garbage.collect(
                ArtifactStore(self._settings),
                self._sessions,
                grace_seconds=self._settings.artifact_grace_seconds,
            )
        )

    def forget_hints(self) -> int:
        """Delete hints that were published long ago."""
        with self._sessions.begin() as session:
            return hints.forget_published(session, older_than_seconds=_FORGET_HINTS_AFTER_SECONDS)


def main() -> None:
    """Keep until SIGTERM or SIGINT."""
    settings = Settings.from_env()
    logs.setup("keeper", settings.log_level)
    from academy.store.migrate import require_in_order
    from workers.starting import refused_clearly

    with refused_clearly():
        require_in_order(settings.database_url)
    stopping = threading.Event()

    def stop(*_: object) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    sessions = make_sessions(settings, pool_size=2)
    log.info("keeper started")
    Keeper(settings, sessions).run(stopping)
    log.info("keeper stopped")


if __name__ == "__main__":
    main()
