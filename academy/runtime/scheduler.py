"""What the model's thread does between two tokens: admit, read prompts, decode, end.

Requests join the running batch between any two tokens and leave it when they are done, so a short
answer never waits for a long one. Commands (an adapter goes in or out) run there too.

Only `add`, `call`, `counts` and `wake` may be used by other threads. No torch here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from academy.errors import AcademyError
from academy.runtime.errors import Busy, ModelFailed, TimedOut
from academy.runtime.generation import Finished, Generation, Piece

if TYPE_CHECKING:
    from academy.runtime.decoder import Decoder, Row

log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.5
_FAILED_STEPS = 3


@dataclass(frozen=True)
class Limits:
    """How much one server takes on."""

    running: int = 8  # requests decoded together
    queued: int = 64  # requests that wait; more are refused
    adapters: int = 16
    request_seconds: float = 300.0
    load_seconds: float = 120.0
    prompt_chunk_tokens: int = 256  # of prompts read between two tokens of the running answers


class Scheduler:
    """The queue in front of the model, and the loop that empties it."""

    def __init__(
        self, limits: Limits, wake: threading.Condition, ended: Callable[[Generation], None]
    ) -> None:
        self.wake = wake
        self.cut_off_at = float("inf")  # monotonic; requests that still run then are ended
        self._limits = limits
        self._ended = ended
        self._waiting: deque[Generation] = deque()
        self._commands: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._reading: deque[Row] = deque()  # their prompts are being read
        self._unfinished = 0
        self._failed_steps = 0

    def add(self, generation: Generation) -> None:
        """Queue a request. Raises `Busy` when too many wait already."""
        with self.wake:
            waiting = len(self._waiting)
            if waiting >= self._limits.queued:
                raise Busy(
                    why=f"{waiting} requests are waiting already",
                    # A guess: the time in which as many answers as wait are given, at one second
                    # for each full batch.
                    retry_after_seconds=max(1, waiting // self._limits.running),
                )
            self._waiting.append(generation)
            self._unfinished += 1
            self.wake.notify_all()

    def call(self, command: Callable[[], None]) -> None:
        """Run a command between two tokens and wait for it; its error is raised here."""
        future: Future[None] = Future()
        with self.wake:
            self._commands.append((command, future))
            self.wake.notify_all()
        try:
            future.result(timeout=self._limits.load_seconds)
        except TimeoutError:
            if future.cancel():  # it was not begun, and now it will not be
                raise Busy(why="the model is computing", retry_after_seconds=5) from None
            future.result(timeout=self._limits.load_seconds)
        except CancelledError:
            raise Busy(why="the model is stopping", retry_after_seconds=5) from None

    def counts(self) -> dict[str, int]:
        """How many requests wait and run right now."""
        with self.wake:
            waiting = len(self._waiting)
            return {"waiting": waiting, "running": self._unfinished - waiting}

    # -- the model's thread ------------------------------------------------------------------

    def turn(self, decoder: Decoder) -> None:
        """Everything between two tokens, and the next token. Waits a moment if there is nothing.

        Raises `ModelFailed` when several steps in a row failed.
        """
        with self.wake:
            if not (decoder.rows or self._reading or self._waiting or self._commands):
                self.wake.wait(_IDLE_SECONDS)
            commands = list(self._commands)
            self._commands.clear()
        for command, future in commands:
            _carry_out(command, future)
        self._drop_unwanted(decoder)
        self._admit(decoder)
        self._read_prompts(decoder)
        if decoder.rows:
            self._step(decoder)

    def end_all(self, decoder: Decoder | None, error: AcademyError) -> None:
        """Nothing will be computed any more: tell everybody who waits."""
        with self.wake:
            left = list(self._waiting)
            self._waiting.clear()
            commands = list(self._commands)
            self._commands.clear()
        left += [row.generation for row in self._reading]
        left += [row.generation for row in (decoder.rows if decoder else [])]
        for generation in left:
            self._end(generation, error)
        for _, future in commands:
            future.cancel()

    def _admit(self, decoder: Decoder) -> None:
        with self.wake:
            while self._waiting and len(decoder.rows) + len(self._reading) < self._limits.running:
                self._reading.append(decoder.row(self._waiting.popleft()))

    def _read_prompts(self, decoder: Decoder) -> None:
        """Read waiting prompts, but not so much that the running answers stutter."""
        budget = self._limits.prompt_chunk_tokens
        while self._reading and budget > 0:
            row = self._reading[0]
            before = row.read
            try:
                token = decoder.read_prompt(row, budget)
                if token is not None and not self._took(decoder, row, token):
                    decoder.join(row)
            except Exception as error:
                self._reading.popleft()
                self._failed([row], error)
                return
            budget -= row.read - before
            if token is not None:
                self._reading.popleft()

    def _step(self, decoder: Decoder) -> None:
        rows = list(decoder.rows)
        try:
            done = [row for row, token in decoder.step() if self._took(decoder, row, token)]
            decoder.leave(done)
        except Exception as error:
            # A step that broke off has written into the shared cache, so none of them can go on.
            decoder.leave(rows)
            self._failed(rows, error)
        else:
            self._failed_steps = 0

    def _took(self, decoder: Decoder, row: Row, token: int) -> bool:
        """Pass a new token on; whether it was the row's last."""
        generation, ask = row.generation, row.generation.ask
        ends = frozenset() if ask.ignore_eos else decoder.base.end_tokens
        ended = token in ends or token in ask.stop_tokens
        text = "" if ended else row.text.push(token)
        stopped = ended or row.text.stopped
        full = len(ask.prompt) + row.tokens >= decoder.base.context_tokens
        last = stopped or full or row.tokens >= ask.max_tokens
        if last and not row.text.stopped:
            text += row.text.finish()
        if text:
            generation.put(Piece(text, row.tokens))
        if last:
            reason = "stop" if stopped else "length"
            self._end(generation, Finished(reason, len(ask.prompt), row.tokens))
        return last

    def _drop_unwanted(self, decoder: Decoder) -> None:
        """End the requests that nobody waits for, that took too long, or that a drain cuts off."""
        with self.wake:
            for generation in [each for each in self._waiting if self._dropped(each)]:
                self._waiting.remove(generation)
        for row in [row for row in self._reading if self._dropped(row.generation)]:
            self._reading.remove(row)
        decoder.leave([row for row in decoder.rows if self._dropped(row.generation)])

    def _dropped(self, generation: Generation) -> bool:
        if generation.cancelled:
            self._end(generation, Busy(why="the client went away"))
        elif generation.overdue:
            self._end(generation, TimedOut(seconds=generation.timeout_seconds))
        elif time.monotonic() > self.cut_off_at:
            self._end(generation, Busy(why="it is stopping", retry_after_seconds=5))
        else:
            return False
        return True

    def _failed(self, rows: list[Row], error: Exception) -> None:
        log.error("A step of the model failed", exc_info=error)
        for row in rows:
            self._end(row.generation, ModelFailed(why=f"{type(error).__name__}: {error}"))
        self._failed_steps += 1
        if self._failed_steps >= _FAILED_STEPS:
            raise ModelFailed(why=f"{self._failed_steps} steps in a row failed: {error}")

    def _end(self, generation: Generation, event: Finished | AcademyError) -> None:
        with self.wake:
            if generation.ended:
                return
            generation.ended = True
            self._unfinished -= 1
            self._ended(generation)
        generation.put(event)  # last, so that whoever sees it finds the place and adapter free


def _carry_out(command: Callable[[], None], future: Future[None]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        command()
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(None)
