import random

import pytest

from academy.trainer.progress import Memory, Pace

#: For paces that are known not to drift.
EVEN = Memory(least_drift=0.0)


def test_nothing_is_claimed_before_the_first_step() -> None:
    eta = Pace().eta(1000)
    assert (eta.seconds, eta.low, eta.high) == (None, None, None)


def test_work_is_counted_in_tokens_and_not_in_steps() -> None:
    pace = Pace()
    for cost in (100, 300, 100, 300):
        pace.add(cost, cost / 50)
    eta = pace.eta(5000)
    assert eta.seconds == pytest.approx(100)
    # However even the steps were, the next ones may be another tenth slower or faster.
    assert (eta.low, eta.high) == (pytest.approx(90), pytest.approx(110))


def test_the_slow_first_step_is_forgotten() -> None:
    pace = Pace()
    pace.add(100, 60)
    for _ in range(5):
        pace.add(100, 2)
    assert pace.eta(1000).seconds == pytest.approx(20)


def test_the_range_holds_the_truth_about_as_often_as_it_claims() -> None:
    chance = random.Random(3)
    hits = 0
    for _ in range(500):
        costs = [chance.randint(50, 400) for _ in range(60)]
        took = [cost / 100 + chance.gauss(0, 0.02) * cost**0.5 for cost in costs]
        pace = Pace(EVEN)
        for cost, seconds in zip(costs[:20], took[:20], strict=True):
            pace.add(cost, seconds)
        eta = pace.eta(sum(costs[20:]))
        assert eta.low is not None and eta.high is not None
        hits += eta.low <= sum(took[20:]) <= eta.high
    assert 455 <= hits <= 490, hits


def test_an_erratic_machine_gets_a_wide_range() -> None:
    steady, erratic = Pace(EVEN), Pace(EVEN)
    for step in range(10):
        steady.add(100, 2 + 0.01 * (step % 2))
        erratic.add(100, 1 if step % 2 else 3)
    narrow, wide = steady.eta(10_000), erratic.eta(10_000)
    assert narrow.high is not None and narrow.low is not None
    assert wide.high is not None and wide.low is not None
    assert wide.high - wide.low > 20 * (narrow.high - narrow.low)
