"""The artifact store as views need it: in threads, since it may be slow, and made once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from academy.settings import Settings
from academy.web.offload import offload
from academy.web.state import state

if TYPE_CHECKING:
    from academy.artifacts.store import ArtifactStore
    from academy.artifacts.verified import VerifiedFolders


def outlives(key: str) -> None:
    """Let the files of `key` stay for the grace time from now on, as somebody may read them.

    To be called before the row that names them is deleted. Raises `StorageFailure`.
    """
    offload(store(state().settings).touch, key)


def store(settings: Settings) -> ArtifactStore:
    """The artifact store of this installation."""
    from academy.artifacts.store import ArtifactStore

    return ArtifactStore(settings)


@lru_cache(maxsize=8)
def folders(settings: Settings) -> VerifiedFolders:
    """Its verified folders; one for the process, since it remembers what it has verified."""
    from academy.artifacts.verified import VerifiedFolders

    return VerifiedFolders(store(settings))
