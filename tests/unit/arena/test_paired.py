import math
import random

import pytest

from academy.arena.paired import PairedGain, paired_gain, student_t


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [  # from the table of any statistics book
        (0.975, 1, 12.7062),
        (0.975, 2, 4.30265),
        (0.975, 3, 3.18245),
        (0.975, 7, 2.36462),
        (0.95, 10, 1.81246),
        (0.995, 30, 2.75000),
        (0.975, 120, 1.97993),
        (0.975, 2000, 1.96115),
        (0.025, 7, -2.36462),
    ],
)
def test_the_t_quantile_equals_the_printed_tables(
    probability: float, degrees: int, expected: float
) -> None:
    assert student_t(probability, degrees) == pytest.approx(expected, abs=1e-4)


def test_the_quantile_is_continuous_where_the_formula_changes() -> None:
    assert student_t(0.975, 1999) == pytest.approx(student_t(0.975, 2000), abs=1e-5)


def test_the_gain_of_a_known_sample_has_the_interval_computed_by_hand() -> None:
    # Differences 1, 2, 3, 4: mean 2.5, s = 1.29099, t(3) = 3.18245, half = 2.05426.
    gain = paired_gain([2, 4, 6, 8], [1, 2, 3, 4])
    assert (gain.mean, gain.n) == (2.5, 4)
    assert gain.low == pytest.approx(0.44574, abs=1e-4)
    assert gain.high == pytest.approx(4.55426, abs=1e-4)


def test_the_interval_covers_the_true_gain_as_often_as_it_claims() -> None:
    chance = random.Random(1)
    covered = 0
    for _ in range(1000):
        base = [chance.gauss(3, 1) for _ in range(8)]
        candidate = [loss - chance.gauss(0.5, 0.7) for loss in base]
        gain = paired_gain(base, candidate)
        covered += gain.low <= 0.5 <= gain.high
    assert 930 <= covered <= 970


def test_one_item_says_nothing_about_the_spread() -> None:
    gain = paired_gain([2.0], [1.0])
    assert gain == PairedGain(1.0, -math.inf, math.inf, 1)
    assert gain.as_json() == {"mean": 1.0, "low": None, "high": None, "n": 1}


@pytest.mark.parametrize(
    ("base", "candidate"), [([], []), ([1.0], [1.0, 2.0]), ([math.nan, 1.0], [1.0, 1.0])]
)
def test_what_is_not_a_set_of_pairs_is_refused(base: list[float], candidate: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pairs|NaN"):
        paired_gain(base, candidate)
