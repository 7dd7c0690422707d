"""Which rows each optimizer step sees, and rows as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from academy.recipes.recipe import Recipe
from academy.trainer.data.encoding import Encoded

#: Rows are sorted by length within so many steps' worth of rows, so that batches stay random.
_STEPS_SORTED_TOGETHER = 50


@dataclass(frozen=True)
class Batch:
    """Rows that go through the model together, padded on the right or packed into one line.

    `inputs` (rows, width) are token ids. The answer tokens of all rows lie behind each other:
    `targets` (answers,) are their ids, `predictors` (answers,) the places in the flattened
    `inputs` from which each is predicted, and `owners` (answers,) the rows they belong to.
    `positions`, of the shape of `inputs`, starts again at zero with each row of a packed line, by
    which the attention keeps rows apart; None if nothing is packed.
    A causal model never looks right, so no mask is needed for the padding there.
    """

    inputs: torch.Tensor
    predictors: torch.Tensor
    targets: torch.Tensor
    owners: torch.Tensor
    positions: torch.Tensor | None = None


def collate(rows: Sequence[Encoded], device: str = "cpu", *, packed: bool = False) -> Batch:
    """Make one batch. The last token of a row is only a target and never an input."""
    widths = [len(row.tokens) - 1 for row in rows]
    starts = np.cumsum([0, *widths[:-1]]) if packed else np.arange(len(rows)) * max(widths)
    inputs = np.zeros(sum(widths) if packed else len(rows) * max(widths), dtype=np.int64)
    positions = np.zeros_like(inputs)
    predictors, targets, owners = [], [], []
    for index, (row, start, width) in enumerate(zip(rows, starts, widths, strict=True)):
        inputs[start : start + width] = row.tokens[:-1]
        positions[start : start + width] = np.arange(width)
        places = np.flatnonzero(row.learnt[1:])
        predictors.append(start + places)
        targets.append(row.tokens[1:][places].astype(np.int64))
        owners.append(np.full(len(places), index))
    lines = 1 if packed else len(rows)
    arrays = (inputs.reshape(lines, -1), *map(np.concatenate, (predictors, targets, owners)))
    batch = Batch(*(torch.from_numpy(each).to(device) for each in arrays))
    if not packed:
        return batch
    return replace(batch, positions=torch.from_numpy(positions.reshape(1, -1)).to(device))


class BatchPlan:
    """The order of the rows over all epochs, a function of seed, lengths and recipe only.

    Nothing is drawn while training, so a resumed run needs the step number to go on.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        recipe: Recipe,
        tokens_at_once: int | None = None,
        *,
        packed: bool = False,
    ) -> None:
        self.steps_per_epoch = recipe.steps_per_epoch(len(lengths))
        self.total_steps = recipe.total_steps(len(lengths))
        self._lengths = np.asarray(lengths)
        self._recipe = recipe
        self._tokens_at_once = tokens_at_once or 1 << 62
        self._packed = packed
        self._rows_per_step = recipe.rows_per_step
        self._epoch: tuple[int, list[list[int]]] = (-1, [])

    def batches(self, step: int, rank: int = 0) -> list[list[int]]:
        """The rows (by number) of optimizer step `step`, counted from 0, as batches.

        A batch has at most the recipe's `batch_size` rows and `tokens_at_once` tokens including
        padding (or a single row). How a step is cut does not change its gradient. Of several
        processes, number `rank` gets its share of the rows, which has no longer ones than those
        of the processes before it.
        """
        rows = self._steps_of(step // self.steps_per_epoch)[step % self.steps_per_epoch]
        rows = sorted(rows, key=lambda row: (-self._lengths[row], row))
        batches: list[list[int]] = []
        for row in rows[rank :: self._recipe.processes]:
            longer = [*batches[-1], row] if batches else []
            fits = self._room(longer) <= self._tokens_at_once if longer else False
            if fits and len(longer) <= self._recipe.batch_size:
                batches[-1] = longer
            else:
                batches.append([row])
        return batches

    def cost(self, step: int) -> int:
        """Tokens including padding that step `step` puts through the (first process's) model."""
        return sum(self._room(batch) - len(batch) for batch in self.batches(step))

    def _room(self, batch: list[int]) -> int:
        """The tokens of a batch, including padding where rows do not lie in one line."""
        lengths = self._lengths[batch]
        return int(lengths.sum() if self._packed else lengths.max() * len(batch))

    def remaining_cost(self, step: int) -> int:
        """About the cost of the steps from `step` on: exact for this epoch, like it for others."""
        if step >= self.total_steps:
            return 0
        start = step - step % self.steps_per_epoch
        end = min(self.total_steps, start + self.steps_per_epoch)
        costs = [self.cost(each) for each in range(start, end)]
        later = self.total_steps - end
        return sum(costs[step - start :]) + round(later * sum(costs) / len(costs))

    def _steps_of(self, epoch: int) -> list[list[int]]:
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._shuffled(epoch))
        return self._epoch[1]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        chance = np.random.default_rng([self._recipe.seed, epoch])
        order = chance.permutation(len(self._lengths))
        size = self._rows_per_step
        if not self._recipe.group_by_length:
            return [order[start : start + size].tolist() for start in range(0, len(order), size)]
        together = size * max(1, min(_STEPS_SORTED_TOGETHER, len(order) // (size * 4)))
        steps = []
        for start in range(0, len(order), together):
            chunk = order[start : start + together]
            chunk = chunk[np.argsort(-self._lengths[chunk], kind="stable")]
            steps += [chunk[at : at + size].tolist() for at in range(0, len(chunk), size)]
        chance.shuffle(steps)
        if epoch == 0:
            # Memory that does not suffice then shows at the first step and not after hours.
            longest = max(range(len(steps)), key=lambda each: self._lengths[steps[each]].max())
            steps[0], steps[longest] = steps[longest], steps[0]
        return steps
