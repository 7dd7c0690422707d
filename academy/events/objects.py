"""Logs of jobs that are over, each one object in the artifact store.

The object is a gzip file of JSON lines, one event a line: ``zcat`` reads it. It is made of members
of at most a thousand events (RFC 1952 allows any number), and the archive knows where each lies, so
a page of a long log is read without the rest of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from academy.store.events.chunks import Elsewhere

if TYPE_CHECKING:
    from academy.artifacts.store import ArtifactStore
    from academy.settings import Settings

KIND = "logs"
#: The object's file in its folder.
NAME = "events.jsonl.gz"
#: How zlib is told that it gets gzip, whose checksum it compares.
_GZIP = zlib.MAX_WBITS | 16

_Made = TypeVar("_Made")


class Apart(Protocol):
    """Does slow work so that others of this process go on meanwhile."""

    def __call__(self, work: Callable[[], _Made], /) -> _Made: ...


def _here(work: Callable[[], _Made], /) -> _Made:
    return work()


class LogObjects:
    """Reads them. The store is opened when the first is asked for: most processes never do."""

    def __init__(self, settings: Settings, apart: Apart = _here) -> None:
        self._settings = settings
        self._apart = apart

    @cached_property
    def store(self) -> ArtifactStore:
        """The artifact store of this installation. Raises `BadSetting`."""
        from academy.artifacts.store import ArtifactStore  # imports what a store may need

        return ArtifactStore(self._settings)

    def read(self, places: Sequence[Elsewhere]) -> Iterator[bytes]:
        """The lines at each place, in their order. Raises `StorageFailure`.

        What lies together is read at once.
        """
        for together in _neighbours(places):
            key, begin = together[0].key, together[0].start
            end = together[-1].start + together[-1].size
            data = self._apart(partial(self.store.read, f"{key}/{NAME}", begin, end))
            for place in together:
                at = place.start - begin
                try:
                    yield zlib.decompress(data[at : at + place.size], wbits=_GZIP)
                except zlib.error as error:
                    raise self.store.failure("give", key, f"its log is damaged ({error})") from None


def _neighbours(places: Sequence[Elsewhere]) -> Iterator[list[Elsewhere]]:
    together: list[Elsewhere] = []
    for place in places:
        before = together[-1] if together else None
        if before and (before.key, before.start + before.size) != (place.key, place.start):
            yield together
            together = []
        together.append(place)
    if together:
        yield together
