"""Several children as one: started in order, tended together, stopped in reverse, with an end."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from academy.embedded.children import Change, Child, Program
from academy.embedded.program import limit_log
from academy.errors import AcademyError
from academy.host.processes import signal_group

logger = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK_SECONDS = 0.1
_LOG_CHECK_SECONDS = 10.0


class Interrupted(AcademyError):
    """The start was interrupted; everything that had been started was stopped."""

    code = "interrupted"
    next_step = "Start again when you are ready."


class StopSignals:
    """Counts SIGINT, SIGTERM and SIGHUP while it is used as a context manager.

    They only count, so that none of them can tear a start apart between a fork and its note.
    """

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._before = {each: signal.signal(each, self._note) for each in _STOP_SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.count > 0

    def check(self) -> None:
        """Raise `Interrupted` if somebody asked to stop."""
        if self.count:
            raise Interrupted

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


class ProcessSet:
    """The children of one process. Use it from the thread that lives as long as they should."""

    def __init__(self, say: Callable[[str], None], signals: StopSignals) -> None:
        self.say = say
        self.signals = signals
        self.children: list[Child] = []
        self.other_logs: list[Path] = []  # kept small like the children's own
        self._next_log_check = 0.0

    def start(self, programs: Sequence[Program]) -> None:
        """Start one child after the other. Raises `Interrupted`."""
        for program in programs:
            self.signals.check()
            child = Child(program)
            self.children.append(child)
            child.start()

    def finish(self, program: Program, timeout_seconds: float) -> None:
        """Run a child that is to end by itself. Raises `ChildFailed` or `Interrupted`."""
        child = Child(program)
        self.children.append(child)
        child.start()
        deadline = time.monotonic() + timeout_seconds
        while not child.has_ended():
            self.signals.check()
            if time.monotonic() > deadline:
                raise child.failure(f"was not done within {timeout_seconds:g} s")
            time.sleep(_TICK_SECONDS)
        self.children.remove(child)
        if child.process is not None and child.process.returncode != 0:
            raise child.failure(f"ended with status {child.process.returncode}")

    def await_ready(self, timeout_seconds: float) -> list[str]:
        """Wait until every child is ready; the names of those that are not when the time is up.

        Raises `ChildFailed` for a child that keeps dying, and `Interrupted`.
        """
        waiting = list(self.children)

        def all_ready() -> bool:
            for child in [each for each in waiting if each.is_ready()]:
                waiting.remove(child)
                self.say(f"{child.program.name} {'is ready' if child.program.health else 'runs'}")
            return not waiting

        self.await_true(all_ready, timeout_seconds)
        return [each.program.name for each in waiting]

    def await_true(self, condition: Callable[[], bool], timeout_seconds: float) -> bool:
        """Tend the children until a condition holds; False if it does not within the time.

        Raises `ChildFailed` for a child that keeps dying, and `Interrupted`.
        """
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            self.signals.check()
            for child in self.children:
                if child.tend() is Change.GIVEN_UP:
                    raise child.failure("keeps dying")
            if time.monotonic() > deadline:
                return False
            time.sleep(_TICK_SECONDS)
        return True

    def tend(self) -> list[str]:
        """Restart what died; its names. Raises `ChildFailed` for an essential child."""
        changes = [(child, child.tend()) for child in self.children]
        for child, change in changes:
            if change is Change.GIVEN_UP:
                failure = child.failure("keeps dying and is given up")
                if child.program.essential:
                    raise failure
                self.say(f"{failure}\n{failure.next_step}")
            elif change is Change.ENDED:
                self.say(f"{child.program.name} was drained and stays ended")
        if time.monotonic() > self._next_log_check:
            self._next_log_check = time.monotonic() + _LOG_CHECK_SECONDS
            for log in {*self.other_logs, *(child.program.log for child in self.children)}:
                try:
                    limit_log(log)
                except OSError as error:  # such as a full disk: there is no room for the copy
                    logger.error("A log was not cut.", extra={"log": str(log), "why": str(error)})
        return [child.program.name for child, change in changes if change is Change.RESTARTED]

    def watch(self, each_time: Callable[[list[str]], None] = lambda restarted: None) -> None:
        """Tend the children until a stop signal; `each_time` hears which were restarted.

        It is over as well when none of them is left: each has ended in good order or was given up.
        Raises `ChildFailed` then if one was.
        """
        while not self.signals and not all(each.ended or each.given_up for each in self.children):
            each_time(self.tend())
            time.sleep(_TICK_SECONDS)
        if self.signals:
            return
        for child in self.children:
            if child.given_up:
                raise child.failure("keeps dying and was given up")

    def end_hung(self, name: str, pid: int) -> bool:
        """Kill a child that hangs, so that it is started again; False if it is another by now."""
        for child in self.children:
            process = child.process
            if child.program.name == name and process is not None and process.pid == pid:
                return signal_group(pid, signal.SIGKILL)
        return False

    def stop(self) -> None:
        """Ask all of them, last first, and give each its grace; another signal cuts the graces."""
        asked_before = self.signals.count
        began = time.monotonic()
        for child in reversed(self.children):
            child.ask_to_stop()
        for child in reversed(self.children):
            while (
                not child.has_ended()
                and time.monotonic() < began + child.grace_seconds
                and self.signals.count == asked_before
            ):
                time.sleep(_TICK_SECONDS / 2)
            child.kill()
        self.children.clear()

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {
            each.program.name: each.process.pid
            for each in self.children
            if each.process is not None
        }
