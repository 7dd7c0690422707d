"""What nobody needs in the artifact store: found by asking who names it, removed when it is old.

Garbage is a checkpoint of a job that is over, a checkpoint that its job passed over, an adapter or
dataset that no row names because its job ended between publishing and recording it, the note of a
result that was recorded, a log that was moved but never named or is named no longer, and a copy
that was cut off in the middle. What was touched within the
grace time is never removed, since its job may be about to name it; publishing the same content
again touches it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from academy.artifacts.store import ArtifactStore, StorageFailure
from academy.store.engine import Sessions
from academy.store.models import references

log = logging.getLogger(__name__)

#: Keys that are asked about in one query.
_AT_ONCE = 500


def collect(store: ArtifactStore, sessions: Sessions, *, grace_seconds: float) -> list[str]:
    """Remove what nobody names and nobody touched for so long; the keys that went.

    Any number of keepers may do it at once. Raises `StorageFailure` and `StoreError`.
    """
    removed: list[str] = []
    for candidates, named in (
        (store.children("adapters"), references.adapters),
        (store.children("datasets"), references.datasets),
        (store.children("results"), references.results),
        (store.children("logs"), references.logs),
        (_checkpoints(store), references.checkpoints),
    ):
        for keys in _batches(candidates):
            with sessions() as session:
                kept = named(session, keys, ended_within_seconds=grace_seconds)
            for key in keys:
                if key not in kept and _remove_if_old(store, key, grace_seconds):
                    removed.append(key)
    if removed:
        log.info("artifacts that nobody names were removed", extra={"keys": removed[:20]})
    return removed


def _checkpoints(store: ArtifactStore) -> Iterator[str]:
    for job in store.children("checkpoints"):
        found = store.children(job)
        # The folder of a job goes once nothing is in it.
        yield from found or [job]


def _remove_if_old(store: ArtifactStore, key: str, grace_seconds: float) -> bool:
    try:
        age = store.age_seconds(key)
        if age is None or age < grace_seconds:
            return False
        store.delete(key)
    except StorageFailure as error:
        log.warning("garbage stays: %s", error)
        return False
    return True


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
