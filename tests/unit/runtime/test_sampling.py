"""Tokens are drawn from the distribution that was asked for, repeatably."""

from __future__ import annotations

from collections import Counter

import torch

from academy.runtime.generation import Sampling
from academy.runtime.sampling import Chooser

LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))


def draw(sampling: Sampling, times: int) -> Counter[int]:
    chooser = Chooser(sampling)
    return Counter(chooser.choose(LOGITS) for _ in range(times))


def test_a_temperature_of_zero_takes_the_likeliest() -> None:
    assert draw(Sampling(temperature=0), 5) == {0: 5}
    assert Chooser(Sampling(temperature=0)).greedy


def test_the_same_seed_draws_the_same_and_another_seed_does_not() -> None:
    one, same, other = (Chooser(Sampling(seed=seed)) for seed in (1, 1, 2))
    rows = [[each.choose(LOGITS) for _ in range(40)] for each in (one, same, other)]
    assert rows[0] == rows[1] != rows[2]


def test_tokens_come_as_often_as_they_are_likely() -> None:
    counts = draw(Sampling(seed=5), 4000)
    for token, chance in enumerate([0.5, 0.3, 0.15, 0.05]):
        assert abs(counts[token] / 4000 - chance) < 0.03


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert set(draw(Sampling(seed=5, top_p=0.75), 500)) == {0, 1}
    assert set(draw(Sampling(seed=5, top_p=0.01), 50)) == {0}


def test_top_k_keeps_that_many() -> None:
    assert set(draw(Sampling(seed=5, top_k=3), 1000)) == {0, 1, 2}


def test_a_high_temperature_flattens_and_a_low_one_sharpens() -> None:
    assert draw(Sampling(seed=5, temperature=0.1), 500)[0] > 490
    assert draw(Sampling(seed=5, temperature=2), 2000)[3] > 200


def test_penalties_push_away_what_was_said_already() -> None:
    chooser = Chooser(Sampling(temperature=0, frequency_penalty=2))
    assert not chooser.greedy
    assert [chooser.choose(LOGITS) for _ in range(4)] == [0, 1, 2, 0]
