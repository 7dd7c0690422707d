"""Academy's own processes under `academy up`: started, asked whether they are ready, restarted.

A child that dies is started again after a pause that doubles. One that keeps dying young is given
up, because a crash loop hides its cause behind its noise. A worker that ends in good order, because
it was drained, stays ended.
"""

from __future__ import annotations

import http.client
import logging
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from academy.embedded.program import log_tail
from academy.embedded.watchdog import Watched
from academy.errors import AcademyError
from academy.host import processes

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_YOUNG_SECONDS = 30.0
_YOUNG_DEATHS = 5
#: One step of a process with a beat may take so long, as on a large store or a slow database.
_BEAT_SECONDS = 900.0


class ChildFailed(AcademyError):
    """The process {name!r} {why}. Its log {log} ends with:
    {tail}"""

    code = "process_failed"
    next_step = "Read the log, correct the cause and start again."


@dataclass(frozen=True)
class Program:
    """How one child is started and stopped."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    grace_seconds: float = 10.0  # between SIGTERM and SIGKILL
    health: str = ""  # host:port/path that answers 200 when it is ready; empty: ready at once
    alive: str = ""  # host:port/path that answers anything while it does not hang
    beat: Path | None = None  # a file that it touches while it does not hang
    patience_seconds: float = 60.0  # for how long it may stand still before it counts as hung
    essential: bool = False  # without it nothing works: giving it up ends the stack
    may_end: bool = False  # status 0 means that somebody asked it to end, so it is left alone


class Change(StrEnum):
    """What `Child.tend` found."""

    NOTHING = "nothing"
    RESTARTED = "restarted"
    GIVEN_UP = "given_up"
    ENDED = "ended"


class Child:
    """One process and its restarts. Start it from the thread that lives as long as the stack."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.given_up = False
        self.ended = False
        self.was_ready = False
        self._since = 0.0
        self._young_deaths = 0
        self._not_before = 0.0

    def start(self) -> None:
        """Start it; its output is appended to its log."""
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        with self.program.log.open("ab") as output:
            self.process = processes.spawn(
                self.program.command, env=self.program.env, stdout=output, stderr=subprocess.STDOUT
            )
        self._since = time.monotonic()

    def tend(self) -> Change:
        """Restart it if it died and its pause is over. Call this every fraction of a second."""
        if self.given_up or self.ended:
            return Change.NOTHING
        now = time.monotonic()
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                return Change.NOTHING
            if status == 0 and self.program.may_end:
                self.kill()  # what it left in its group
                self.ended = True
                return Change.ENDED
            if self._note_death(status, now):
                return Change.GIVEN_UP
        if now < self._not_before:
            return Change.NOTHING
        self.start()
        return Change.RESTARTED

    def is_ready(self) -> bool:
        """Whether it runs and its health page answers 200. Waits two seconds for it at most."""
        if self.process is None or self.process.poll() is not None:
            return False
        if not self.program.health:
            self.was_ready = True
            return True
        is_well = _status_of(self.program.health, timeout_seconds=2) == 200
        self.was_ready = self.was_ready or is_well
        return is_well

    @property
    def watched(self) -> Watched:
        """How a watchdog tells whether it hangs."""
        program = self.program
        asks = program.alive or program.beat
        return Watched(
            name=program.name,
            pid=lambda: self.process.pid if self.process is not None else None,
            answers=self._answers if asks else None,
            patience_seconds=program.patience_seconds,
        )

    def _answers(self) -> bool:
        program = self.program
        if program.alive and _status_of(program.alive, timeout_seconds=5) is None:
            return False
        if program.beat is None or not program.beat.exists():
            return program.beat is None
        return time.time() - program.beat.stat().st_mtime < _BEAT_SECONDS

    @property
    def grace_seconds(self) -> float:
        """Its program's grace; short for a child that never got ready: nothing to wind up.

        One without a health page was ready at once.
        """
        if self.was_ready or not self.program.health:
            return self.program.grace_seconds
        return min(2.0, self.program.grace_seconds)

    def ask_to_stop(self) -> None:
        """SIGTERM to the process alone: it knows how to wind up what it started."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.send_signal(signal.SIGCONT)  # one that was stopped would not hear it

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        """End it and its whole group; harmless if it has ended."""
        if self.process is not None:
            processes.end_group(self.process, 0)
            self.process = None

    def failure(self, why: str) -> ChildFailed:
        """What to tell the user when it will not run."""
        program = self.program
        return ChildFailed(name=program.name, why=why, log=program.log, tail=log_tail(program.log))

    def _note_death(self, status: int, now: float) -> bool:
        """Set the pause before the next start; True if there will be none."""
        if self.process is not None:  # what it left in its group dies with it
            processes.end_group(self.process, 0)
        self.process = None
        lived = now - self._since
        self._young_deaths = self._young_deaths + 1 if lived < _YOUNG_SECONDS else 1
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (self._young_deaths - 1))
        self._not_before = now + pause
        self.given_up = self._young_deaths >= _YOUNG_DEATHS
        logger.error(
            "A process died and is given up." if self.given_up else "A process died.",
            extra={
                "child": self.program.name,
                "status": status,
                "lived_seconds": round(lived, 1),
                "pause_seconds": pause,
                "log": str(self.program.log),
            },
        )
        return self.given_up


def _status_of(health: str, timeout_seconds: float) -> int | None:
    """The HTTP status that ``host:port/path`` answers with; None if it does not answer in time."""
    address, _, path = health.partition("/")
    connection = http.client.HTTPConnection(address, timeout=timeout_seconds)
    try:
        connection.request("GET", f"/{path}")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None  # not listening yet, or busy
    finally:
        connection.close()
