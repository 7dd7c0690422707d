"""A lock is waited for as long as it is worth, and no longer."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from academy.host.filelock import FileLock, is_held


def test_a_lock_is_taken_once_its_holder_lets_go(tmp_path: Path) -> None:
    holder, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert holder.acquire()
    waits = threading.Event()
    taken: list[bool] = []
    thread = threading.Thread(
        target=lambda: taken.append(other.acquire(within_seconds=30, tick=waits.set))
    )
    thread.start()
    assert waits.wait(timeout=10)
    assert taken == []
    holder.release()
    thread.join(timeout=10)
    assert taken == [True] and is_held(tmp_path / "lock")
    other.release()
    assert not is_held(tmp_path / "lock")


def test_a_lock_that_stays_taken_is_given_up(tmp_path: Path) -> None:
    holder = FileLock(tmp_path / "lock")
    assert holder.acquire()
    ticks: list[None] = []
    other = FileLock(tmp_path / "lock")
    assert not other.acquire(within_seconds=0.3, tick=lambda: ticks.append(None))
    assert len(ticks) > 1
    holder.release()


def test_whoever_waits_may_be_called_away(tmp_path: Path) -> None:
    holder = FileLock(tmp_path / "lock")
    assert holder.acquire()

    def tick() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        FileLock(tmp_path / "lock").acquire(within_seconds=30, tick=tick)
    holder.release()
