"""What is found in the background: at once from then on, and never an old thing."""

from __future__ import annotations

import threading

import pytest

from academy.errors import Unavailable
from academy.web import lookout
from academy.web.lookout import Lookout
from tests.waiting import until


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "LOOK_SECONDS", 0.01)


@pytest.fixture
def looks() -> list[int]:
    """How often was looked."""
    return [0]


def test_the_first_question_waits_for_a_look_and_later_ones_see_the_newest(
    looks: list[int],
) -> None:
    def look() -> int:
        looks[0] += 1
        return looks[0]

    found = Lookout(look)
    assert looks == [0], "nobody looks before somebody asks"
    assert found.seen() >= 1
    until(lambda: found.seen() > 3, 20, "it is looked again and again")
    found.close()


def test_a_look_that_fails_is_told_to_whoever_asks_until_one_succeeds(looks: list[int]) -> None:
    def look() -> str:
        looks[0] += 1
        if looks[0] < 3:
            raise OSError("nothing to be seen")
        return "there"

    found = Lookout(look)
    with pytest.raises(OSError, match="nothing to be seen"):
        found.seen()

    def is_there() -> bool:
        try:
            return found.seen() == "there"
        except OSError:
            return False

    until(is_there, 20, "a look succeeds")
    found.close()


def test_a_look_that_takes_long_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "_OLD_SECONDS", 0.05)
    over = threading.Event()
    found = Lookout(lambda: over.wait(20))
    with pytest.raises(Unavailable, match="longer than"):
        found.seen()
    over.set()
    found.close()


def test_nobody_looks_on_after_the_end(looks: list[int]) -> None:
    began = threading.active_count()
    found = Lookout(lambda: looks[0])
    assert found.seen() == 0
    found.close()
    until(lambda: threading.active_count() <= began, 20, "its thread ends")


def test_what_is_known_to_be_old_is_not_told(
    monkeypatch: pytest.MonkeyPatch, looks: list[int]
) -> None:
    monkeypatch.setattr(lookout, "LOOK_SECONDS", 60.0)

    def look() -> int:
        looks[0] += 1
        return looks[0]

    found = Lookout(look)
    assert [found.seen(), found.seen()] == [1, 1]
    found.outdate()
    assert found.seen() == 2, "at once, and not after the pause"
    found.close()


def test_a_look_that_began_before_the_change_does_not_count(looks: list[int]) -> None:
    began, goes_on = threading.Event(), threading.Event()

    def look() -> int:
        looks[0] += 1
        of_this_look = looks[0]
        began.set()
        assert goes_on.wait(20)
        return of_this_look

    found = Lookout(look)
    seen: list[int] = []
    asks = threading.Thread(target=lambda: seen.append(found.seen()))
    asks.start()
    assert began.wait(20)
    found.outdate()
    goes_on.set()
    asks.join(20)
    assert seen == [2]
    found.close()


def test_the_end_waits_for_the_look_that_is_under_way() -> None:
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def look() -> int:
        began.set()
        may_end.wait(10)
        ended.set()
        return 1

    lookout = Lookout(look)
    asking = threading.Thread(target=lookout.seen)
    asking.start()
    assert began.wait(10)
    threading.Timer(0.05, may_end.set).start()
    lookout.close()
    assert ended.is_set()
    asking.join(timeout=10)
