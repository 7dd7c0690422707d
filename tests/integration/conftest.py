"""Sessions and settings for tests that need the real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from academy.settings import Settings
from academy.store.engine import Sessions, open_sessions


@pytest.fixture
def settings(database_url: str, valkey_url: str, tmp_path: Path) -> Settings:
    """Settings with the test's own database, an empty Valkey, a home, and short intervals."""
    return Settings().changed(
        home=tmp_path / "home",
        database_url=database_url,
        redis_url=valkey_url,
        archive_seconds=0.2,
        heartbeat_seconds=0.2,
        lease_seconds=2.0,
        keeper_seconds=0.2,
        hint_seconds=0.3,
        tick_seconds=0.01,
        ping_seconds=0.5,
        retry_seconds=0.0,
    )


@pytest.fixture
def sessions(settings: Settings) -> Iterator[Sessions]:
    with open_sessions(settings) as made:
        yield made
