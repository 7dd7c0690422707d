"""Moving logs of jobs that are over from Postgres to the artifact store."""

from __future__ import annotations

import logging
import time

from academy.errors import AcademyError
from academy.events import moving
from academy.events.objects import LogObjects
from academy.store.engine import StoreError
from academy.store.events import chunks
from workers.keeper.duty import Context

log = logging.getLogger(__name__)

#: Events of a job that was over for so long come no more, not even from a worker that stood still.
_REST_SECONDS = 60.0
#: Logs that are looked for at once, and how long a sweep goes on to the next of them.
_AT_ONCE, _LONGEST_SECONDS = 20, 1.0
#: After a failure nothing is moved for a while, and that log is left where it is for longer.
_PAUSE_SECONDS, _LEFT_SECONDS = 60.0, 3600.0


class MoveLogs:
    """Makes one object of each log, a minute after the job's end."""

    name = "move_logs"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._objects = LogObjects(context.settings)
        self._again_at = 0.0
        #: Jobs whose log could not be moved, with the time until which it is not tried again.
        self._left: dict[str, float] = {}

    def do(self) -> int:
        """How many logs were moved."""
        now = time.monotonic()
        if now < self._again_at:
            return 0
        self._left = {job_id: until for job_id, until in self._left.items() if now < until}
        with self._context.sessions() as session:
            job_ids = chunks.movable(
                session,
                closed_before_seconds=_REST_SECONDS,
                most=_AT_ONCE,
                but=list(self._left),
            )
        moved = 0
        for job_id in job_ids:
            moved += self._move(job_id)
            if time.monotonic() - now > _LONGEST_SECONDS or self._again_at > now:
                break
        return moved

    def _move(self, job_id: str) -> bool:
        try:
            return moving.move(
                self._context.settings, self._context.sessions, self._objects, job_id
            )
        except StoreError:
            raise  # of Postgres: the sweep ends
        except (AcademyError, OSError) as error:
            log.warning("a log stays in Postgres: %s", error, extra={"job_id": job_id})
        except Exception:
            # A damaged row must not keep the logs of others from being moved.
            log.exception("a log cannot be moved", extra={"job_id": job_id})
        now = time.monotonic()
        self._again_at, self._left[job_id] = now + _PAUSE_SECONDS, now + _LEFT_SECONDS
        return False
