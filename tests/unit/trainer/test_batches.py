from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from academy.recipes.recipe import Recipe
from academy.trainer.data.batches import BatchPlan, collate
from academy.trainer.data.encoding import Encoded


def encoded(name: str, tokens: list[int], learnt: list[int]) -> Encoded:
    marks = np.zeros(len(tokens), dtype=bool)
    marks[learnt] = True
    return Encoded(name, np.array(tokens, dtype=np.int32), marks, cut=False)


def plan(recipe: Recipe, rows: int = 100) -> BatchPlan:
    return BatchPlan(np.random.default_rng(1).integers(10, 200, rows).tolist(), recipe)


def test_each_target_stands_beside_the_place_that_predicts_it() -> None:
    batch = collate([encoded("a", [5, 6, 7, 8], [2, 3]), encoded("b", [1, 2], [1])])
    assert batch.inputs.tolist() == [[5, 6, 7], [1, 0, 0]]
    assert batch.targets.tolist() == [7, 8, 2]
    assert batch.inputs.flatten()[batch.predictors].tolist() == [6, 7, 1]
    assert batch.owners.tolist() == [0, 0, 1]


@pytest.mark.parametrize("grouped", [True, False])
def test_every_epoch_sees_every_row_once_in_another_order(grouped: bool) -> None:
    given = plan(Recipe(num_epochs=2, batch_size=3, group_by_length=grouped))
    epochs = []
    for epoch in range(2):
        steps = range(epoch * given.steps_per_epoch, (epoch + 1) * given.steps_per_epoch)
        rows = [row for step in steps for batch in given.batches(step) for row in batch]
        assert Counter(rows) == Counter(range(100))
        epochs.append(rows)
    assert epochs[0] != epochs[1]


def test_the_order_depends_on_the_seed_only() -> None:
    one, same, other = (plan(Recipe(seed=seed)) for seed in (1, 1, 2))
    steps = range(one.total_steps)
    assert [one.batches(s) for s in steps] == [same.batches(s) for s in reversed(steps)][::-1]
    assert [one.batches(s) for s in steps] != [other.batches(s) for s in steps]


def test_accumulation_cuts_the_same_steps_into_smaller_batches() -> None:
    whole = plan(Recipe(batch_size=8))
    parts = plan(Recipe(batch_size=1, gradient_accumulation=8))
    for step in range(whole.total_steps):
        [rows] = whole.batches(step)
        assert [row for batch in parts.batches(step) for row in batch] == rows
        assert all(len(batch) == 1 for batch in parts.batches(step))


def test_a_step_of_long_rows_is_cut_to_the_tokens_that_fit_at_once() -> None:
    lengths = [10] * 40 + [300] * 40
    given = BatchPlan(lengths, Recipe(batch_size=8, num_epochs=1), tokens_at_once=700)
    seen = Counter[int]()
    for step in range(given.total_steps):
        for batch in given.batches(step):
            seen.update(batch)
            assert len(batch) <= 8
            assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= 700
    assert seen == Counter(range(80))
    assert given.total_steps == 10


def test_rows_in_one_line_are_cut_by_their_sum_and_cost_no_padding() -> None:
    lengths = [500, 300, 200, 100]
    recipe = Recipe(batch_size=4, num_epochs=1)
    padded, lines = (
        BatchPlan(lengths, recipe, tokens_at_once=1000, packed=packed) for packed in (False, True)
    )
    assert padded.batches(0) == [[0, 1], [2, 3]]
    assert lines.batches(0) == [[0, 1, 2], [3]]
    assert padded.cost(0) == 2 * 499 + 2 * 199
    assert lines.cost(0) == sum(lengths) - 4


def test_grouping_by_length_saves_padding_and_shows_the_longest_rows_first() -> None:
    grouped, shuffled = (plan(Recipe(group_by_length=each), rows=400) for each in (True, False))
    steps = range(grouped.steps_per_epoch)
    costs = [grouped.cost(step) for step in steps]
    assert sum(costs) < 0.8 * sum(shuffled.cost(step) for step in steps)
    assert grouped.cost(0) >= max(costs) * 0.95
    assert any(left < right for left, right in pairwise(costs)), "steps are not in order of length"


def test_what_remains_is_exact_within_the_epoch_and_ends_at_zero() -> None:
    given = plan(Recipe(num_epochs=1))
    costs = [given.cost(step) for step in range(given.total_steps)]
    assert given.remaining_cost(0) == sum(costs)
    assert given.remaining_cost(3) == sum(costs[3:])
    assert given.remaining_cost(given.total_steps) == 0
    capped = plan(Recipe(num_epochs=1, max_steps=5))
    assert capped.remaining_cost(2) == sum(costs[2:5])
