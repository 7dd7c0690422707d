"""A base model and its adapters: one thread owns them, and everybody else asks.

An adapter is chosen once, when a request is admitted, and stays loaded until its last request has
ended. This module does not import torch, so that a server answers `/health` while torch is loaded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from academy.runtime.errors import Busy, ModelFailed
from academy.runtime.generation import Ask, Generation
from academy.runtime.residents import Resident, Residents
from academy.runtime.scheduler import Limits, Scheduler

if TYPE_CHECKING:
    from academy.runtime.base_model import BaseModel
    from academy.runtime.decoder import Decoder

log = logging.getLogger(__name__)

#: PEFT's name for "no adapter".
_NO_ADAPTER = "__base__"


class State(StrEnum):
    LOADING = "loading"  # from the start; the base model is being read
    READY = "ready"  # set by the model's thread once the model has answered a first token
    DRAINING = "draining"  # set by drain; running requests end, new ones are refused
    FAILED = "failed"  # set by the model's thread; nothing is served any more


class InferenceEngine:
    """A base model with its adapters, behind a queue. Any thread may use it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        limits: Limits | None = None,
        on_failure: Callable[[str], None] = lambda why: None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.limits = limits or Limits()
        self.state = State.LOADING
        self.failure = ""
        self.was_ready = False
        self._device, self._dtype, self._on_failure = device, dtype, on_failure
        self._decoder: Decoder | None = None
        self._wake = threading.Condition()
        self._residents = Residents(self._wake, name, self.limits.adapters)
        self._scheduler = Scheduler(
            self.limits, self._wake, lambda ended: self._residents.release(ended.ask.adapter)
        )
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Begin to load the model; `state` tells when it is there."""
        self._thread.start()

    def wait_until_loaded(self, timeout_seconds: float) -> bool:
        """Wait for the model; whether it is there."""
        with self._wake:
            self._wake.wait_for(lambda: self.state is not State.LOADING, timeout_seconds)
            return self.state is State.READY

    @property
    def base(self) -> BaseModel:
        """The loaded base model. Raises `Busy` while there is none."""
        return self._model().base

    # -- requests ----------------------------------------------------------------------------

    def submit(self, ask: Ask) -> Generation:
        """Queue a request. Raises `AdapterNotLoaded`, or `Busy` when too many wait already."""
        base = self.base
        with self._wake:
            if self.state is not State.READY:
                raise Busy(why=f"the model is {self.state}", retry_after_seconds=5)
            resident = self._residents.get(ask.adapter) if ask.adapter is not None else None
            generation = Generation(
                ask,
                tokenizer=(resident and resident.files.tokenizer) or base.tokenizer,
                key=resident.key if resident else _NO_ADAPTER,
                digest=resident.files.digest if resident else None,
                timeout_seconds=self.limits.request_seconds,
            )
            self._scheduler.add(generation)
            if resident:
                resident.users += 1
        return generation

    def counts(self) -> dict[str, int]:
        """How many requests wait and run right now."""
        return self._scheduler.counts()

    # -- adapters ----------------------------------------------------------------------------

    def residents(self) -> list[Resident]:
        """The adapters that can be asked for, oldest first."""
        return self._residents.ready()

    def resident(self, name: str) -> Resident:
        """One adapter that can be asked for. Raises `AdapterNotLoaded`."""
        return self._residents.get(name)

    def load(self, name: str, folder: Path, digest: str | None) -> tuple[Resident, bool]:
        """Make an adapter ready; the resident, and whether it was loaded just now.

        Loading the same digest under the same name again changes nothing. The files are read and
        checked in the calling thread; only putting them into the model takes the model's time.
        Raises `DigestMismatch`, `ManifestMissing`, `AdapterUnfit`, `AdapterConflict`,
        `TooManyAdapters` or `Busy`; then nothing has changed.
        """
        from academy.runtime.adapter_files import read_adapter  # imports torch

        decoder = self._model()
        began = time.monotonic()
        files = read_adapter(folder, digest, decoder.base)
        resident, fresh = self._residents.reserve(name, files, began + self.limits.load_seconds)
        if not fresh:
            return resident, False
        try:
            self._scheduler.call(lambda: decoder.adapters.install(resident.key, files))
        except BaseException:
            self._residents.forget(name)
            raise
        seconds = round(time.monotonic() - began, 3)
        log.info(
            "The adapter was loaded.",
            extra={"adapter": name, "digest": files.digest, "seconds": seconds},
        )
        return self._residents.settle(name), True

    def unload(self, name: str) -> None:
        """Remove an adapter once its running requests have ended; new ones are refused at once.

        Raises `AdapterNotLoaded`, or `Busy` when its requests outlast the time for them; then it
        stays loaded.
        """
        decoder = self._model()
        deadline = time.monotonic() + self.limits.request_seconds
        resident = self._residents.retire(name, deadline)
        try:
            self._scheduler.call(lambda: decoder.adapters.remove(resident.key))
        finally:
            self._residents.forget(name)
        log.info("The adapter was unloaded.", extra={"adapter": name})

    # -- ending ------------------------------------------------------------------------------

    def drain(self, seconds: float) -> None:
        """Refuse new requests and end those that still run after `seconds`.

        Takes no lock, so that a signal handler may call it.
        """
        if self.state is not State.FAILED:
            self.state = State.DRAINING
        self._scheduler.cut_off_at = time.monotonic() + seconds

    def close(self, timeout_seconds: float = 10.0) -> bool:
        """End everything; False if the model's thread did not stop in time."""
        self.drain(0)
        with self._wake:
            self._stop = True
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    # -- the model's thread ------------------------------------------------------------------

    def _run(self) -> None:
        began = time.monotonic()
        try:
            from academy.runtime.decoder import Decoder  # imports torch, which takes seconds

            self._decoder = decoder = Decoder.open(self.folder, self._device, self._dtype)
            seconds = round(time.monotonic() - began, 1)
            log.info("The base model was loaded.", extra={"model": self.name, "seconds": seconds})
            with self._wake:
                if self.state is State.LOADING:
                    self.state = State.READY
                self.was_ready = True
                self._wake.notify_all()
            while not self._stop:
                self._scheduler.turn(decoder)
        except Exception as error:
            log.error("The model cannot be served.", exc_info=error)
            with self._wake:
                self.failure, self.state = str(error), State.FAILED
                self._wake.notify_all()
            self._scheduler.end_all(self._decoder, ModelFailed(why=str(error)))
            self._on_failure(str(error))
        else:
            self._scheduler.end_all(self._decoder, Busy(why="it is stopping"))

    def _model(self) -> Decoder:
        if self._decoder is None or self.state is State.FAILED:
            raise Busy(why=f"the model is {self.state}", retry_after_seconds=2)
        return self._decoder
