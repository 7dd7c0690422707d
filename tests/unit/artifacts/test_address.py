"""An address of the artifact store that no store can have is refused by name, and none is asked."""

from __future__ import annotations

import pytest

from academy.artifacts.store import ArtifactStore, require_store
from academy.errors import BadSetting
from academy.settings import Settings


@pytest.mark.parametrize("url", ["bogus://x", "simplecache::bogus://x", "bogus::memory://x"])
def test_a_kind_of_store_that_is_not_there_is_named(url: str) -> None:
    for made in (require_store, ArtifactStore):
        with pytest.raises(BadSetting, match=f"ACADEMY_ARTIFACTS is '{url}'.*bogus"):
            made(Settings().changed(artifacts=url))


def test_a_password_in_it_is_not_shown() -> None:
    with pytest.raises(BadSetting) as refused:
        require_store(Settings().changed(artifacts="bogus://me:secret@h/x?key=secret"))
    assert "secret" not in str(refused.value) and "bogus://h/x" in str(refused.value)


@pytest.mark.parametrize(
    "url", ["", "/a/folder", "file:///a", "memory://x", "simplecache::memory://x"]
)
def test_folders_and_kinds_that_are_there_are_taken(url: str) -> None:
    require_store(Settings().changed(artifacts=url))
