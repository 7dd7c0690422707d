"""The adapters that are loaded, who uses them, and under which key the model knows them."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from academy.runtime.errors import AdapterConflict, AdapterNotLoaded, Busy, TooManyAdapters

if TYPE_CHECKING:
    from academy.runtime.adapter_files import AdapterFiles


class Presence(StrEnum):
    LOADING = "loading"  # set by reserve; the model's thread is installing it
    READY = "ready"  # set by settle; requests may use it
    LEAVING = "leaving"  # set by retire; its last requests run, new ones are refused


@dataclass
class Resident:
    """One adapter in memory. `key` names it inside the model and is never used twice."""

    name: str
    key: str
    files: AdapterFiles
    loaded_at: int  # seconds since 1970
    presence: Presence = Presence.LOADING
    users: int = 0


class Residents:
    """The loaded adapters by name. Every change happens under the engine's lock."""

    def __init__(self, lock: threading.Condition, base: str, limit: int) -> None:
        self._lock = lock
        self._base = base
        self._limit = limit
        self._by_name: dict[str, Resident] = {}
        # PEFT keeps adapters in a ModuleDict, whose keys must not hold a dot; names may.
        self._keys = (f"adapter{number}" for number in itertools.count(1))

    def ready(self) -> list[Resident]:
        with self._lock:
            return [each for each in self._by_name.values() if each.presence is Presence.READY]

    def get(self, name: str) -> Resident:
        """The adapter of that name that can be used now. Raises `AdapterNotLoaded`."""
        with self._lock:
            resident = self._by_name.get(name)
            if resident is None or resident.presence is not Presence.READY:
                known = ", ".join([self._base, *(each.name for each in self.ready())])
                raise AdapterNotLoaded(name=name, known=known)
            return resident

    def release(self, name: str | None) -> None:
        """A request of the adapter has ended; None was the base model's."""
        if name is None:
            return
        with self._lock:
            self._by_name[name].users -= 1
            self._lock.notify_all()

    def reserve(self, name: str, files: AdapterFiles, deadline: float) -> tuple[Resident, bool]:
        """A place for an adapter, and whether it is new: then `settle` or `forget` must follow.

        Waits while another request loads or unloads the same name, until `deadline` (monotonic).
        Raises `AdapterConflict`, `TooManyAdapters` or `Busy`.
        """
        with self._lock:
            while (there := self._by_name.get(name)) and there.presence is not Presence.READY:
                if not self._lock.wait(deadline - time.monotonic()):
                    raise Busy(why=f"{name!r} is {there.presence}", retry_after_seconds=5)
            if there is not None and there.files.digest == files.digest:
                return there, False
            if there is not None or name == self._base:
                loaded = there.files.digest if there else "the base model"
                raise AdapterConflict(name=name, loaded=loaded, wanted=files.digest)
            if len(self._by_name) >= self._limit:
                raise TooManyAdapters(loaded=len(self._by_name))
            resident = Resident(name, next(self._keys), files, int(time.time()))
            self._by_name[name] = resident
            return resident, True

    def settle(self, name: str) -> Resident:
        """The adapter is in the model; requests may use it from now on."""
        with self._lock:
            resident = self._by_name[name]
            resident.presence = Presence.READY
            self._lock.notify_all()
            return resident

    def retire(self, name: str, deadline: float) -> Resident:
        """Refuse new requests and wait for the running ones, until `deadline` (monotonic).

        Raises `AdapterNotLoaded`, or `Busy` when they are not done by then.
        """
        with self._lock:
            resident = self.get(name)
            resident.presence = Presence.LEAVING
            while resident.users:
                if not self._lock.wait(deadline - time.monotonic()):
                    resident.presence = Presence.READY
                    self._lock.notify_all()
                    raise Busy(why=f"{resident.users} requests still use {name!r}")
            return resident

    def forget(self, name: str) -> None:
        """The adapter is out of the model."""
        with self._lock:
            del self._by_name[name]
            self._lock.notify_all()
