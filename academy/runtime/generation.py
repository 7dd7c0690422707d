"""One request's generation as both sides see it: the request thread and the model's thread.

Standard library only.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from academy.errors import AcademyError
from academy.runtime.errors import TimedOut


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. A temperature of 0 always takes the most likely one."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: no limit
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None


@dataclass(frozen=True)
class Ask:
    """What is to be generated. `adapter` is the loaded adapter's name; None is the base model."""

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    adapter: str | None = None
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    ignore_eos: bool = False


@dataclass(frozen=True)
class Piece:
    """Text that became certain, and how many tokens the answer has by now."""

    text: str
    tokens: int


@dataclass(frozen=True)
class Finished:
    """The end of an answer. `tokens` counts every generated token, the ending one too."""

    reason: str  # "stop": an end token or stop string; "length": max_tokens or the context is full
    prompt_tokens: int
    tokens: int


Event = Piece | Finished | AcademyError


class Generation:
    """A request on its way. The model's thread puts events in, the request's thread takes them."""

    def __init__(
        self, ask: Ask, tokenizer: Any, key: str, digest: str | None, timeout_seconds: float
    ) -> None:
        self.ask = ask
        self.tokenizer = tokenizer
        self.key = key  # the adapter's name inside the model, chosen once, at admission
        self.digest = digest  # the adapter's; None is the base model
        self.timeout_seconds = timeout_seconds
        self.ended = False  # set by the model's thread; no event follows
        self.deadline = time.monotonic() + timeout_seconds
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def overdue(self) -> bool:
        return time.monotonic() > self.deadline

    def cancel(self) -> None:
        """Nobody waits for this answer any more; the model's thread drops it at its next step."""
        self._cancelled.set()

    def put(self, event: Event) -> None:
        self._events.put(event)

    def events(self, poll_seconds: float) -> Iterator[Piece | Finished | None]:
        """The events until the end; None whenever `poll_seconds` went by without one.

        Raises the error that ended the generation.
        """
        # The model's thread ends an overdue request; the margin covers a thread that hangs.
        last = self.deadline + 10 * max(poll_seconds, 1.0)
        while True:
            try:
                event = self._events.get(timeout=poll_seconds)
            except queue.Empty:
                if time.monotonic() > last:
                    self.cancel()
                    raise TimedOut(seconds=self.timeout_seconds) from None
                yield None
                continue
            if isinstance(event, AcademyError):
                raise event
            yield event
            if isinstance(event, Finished):
                return
