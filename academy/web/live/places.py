"""How many may watch at once: in all, with one key, and from one address."""

from __future__ import annotations

import resource
from collections import Counter
from dataclasses import dataclass

from academy.errors import AcademyError
from academy.settings import Settings


class TooManyWatchers(AcademyError):
    """{whose} {most} event streams are open already."""

    code = "too_many_watchers"
    status = 503
    next_step = (
        "Close some, or connect again later with the id of the last event seen; nothing is missed. "
        "ACADEMY_WATCHERS and ACADEMY_WATCHERS_EACH are the limits."
    )
    retry_after_seconds = 10


@dataclass(frozen=True)
class Place:
    """A watcher's place, which is given back once."""

    key_id: str
    address: str


class Places:
    """The places of this process."""

    def __init__(self, settings: Settings) -> None:
        self._most = min(settings.events.watchers, half_of_files())
        self._most_each = settings.events.watchers_each
        self._taken = 0
        self._of_key: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._taken

    @property
    def keys(self) -> frozenset[str]:
        """The ids of the keys that somebody watches with."""
        return frozenset(self._of_key)

    def take(self, key_id: str, address: str) -> Place:
        """A place. Raises `TooManyWatchers`, and takes none then."""
        for taken, most, whose in (
            (self._taken, self._most, "Of this server"),
            (self._of_key[key_id], self._most_each, "With this key"),
            (self._of_address[address], self._most_each, "From this address"),
        ):
            if taken >= most:
                raise TooManyWatchers(whose=whose, most=most)
        self._taken += 1
        self._of_key[key_id] += 1
        self._of_address[address] += 1
        return Place(key_id, address)

    def give_back(self, place: Place) -> None:
        """Somebody else may have it."""
        self._taken -= 1
        for counter, name in ((self._of_key, place.key_id), (self._of_address, place.address)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]


def half_of_files() -> int:
    """Half of the files that this process may have open: watchers' share, and everybody else's."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else max(1, soft // 2)
