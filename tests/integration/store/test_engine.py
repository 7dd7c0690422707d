"""Every wait for the database ends, also when nothing ever answers."""

from __future__ import annotations

import os
import signal
import time

import pytest
from sqlalchemy import text

from academy.settings import Settings
from academy.store.engine import StoreError, make_engine


@pytest.mark.timing
def test_a_server_that_falls_silent_in_the_middle_is_given_up_and_found_again(
    settings: Settings,
) -> None:
    impatient = settings.changed(postgres_timeout_seconds=0.5)
    engine = make_engine(impatient, statement_seconds=1)
    with engine.connect() as connection:
        backend = connection.scalar(text("SELECT pg_backend_pid()"))
        # The kernel still acknowledges what we send, so no time-out of TCP fires.
        os.kill(backend, signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(StoreError):
                connection.scalar(text("SELECT 1"))
        finally:
            os.kill(backend, signal.SIGCONT)
        assert time.monotonic() - began < 10  # it was given up, not waited for
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) != backend
    engine.dispose()


@pytest.mark.parametrize(("lease_seconds", "idle"), [(3.0, "5s"), (30.0, "30s"), (600.0, "1min")])
def test_a_transaction_of_a_worker_that_stands_still_ends_with_its_lease(
    settings: Settings, lease_seconds: float, idle: str
) -> None:
    engine = make_engine(settings.changed(lease_seconds=lease_seconds))
    with engine.connect() as connection:
        found = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one()
    engine.dispose()
    assert found == idle
