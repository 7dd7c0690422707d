"""The loss on held-out rows, row by row, before and after training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from academy.arena.paired import paired_gain
from academy.trainer.data.encoding import EncodedPair, Example
from academy.trainer.objective import Objective
from academy.trainer.ranks.ranks import Ranks
from academy.trainer.stop import Cancelled

#: Tokens including padding in one evaluation batch; bounds the memory for the output head.
_BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Evaluation:
    """The loss of each row in nats: per answer token, or of the preference for a pair.

    `ids`, `weights` and `losses` have one entry a row, in the same order, and so has `margins` for
    pairs. A row weighs its answer tokens, a pair 1.
    """

    ids: tuple[str, ...]
    weights: tuple[int, ...]
    losses: tuple[float, ...]
    margins: tuple[float, ...] | None = None

    @property
    def loss(self) -> float | None:
        """The weighted mean, so a long answer counts more; None without rows."""
        if not self.ids:
            return None
        return float(np.average(self.losses, weights=self.weights))

    @property
    def rewards(self) -> dict[str, float]:
        """For pairs the mean margin, and how often the chosen answer has the higher reward.

        A tie counts half, so a model that prefers nothing has an accuracy of a half.
        """
        if not self.margins:
            return {}
        margins = np.array(self.margins)
        accuracy = (margins > 0).mean() + (margins == 0).mean() / 2
        return {"reward_margin": float(margins.mean()), "reward_accuracy": float(accuracy)}


def evaluate(
    objective: Objective,
    rows: Sequence[Example],
    *,
    adapter: bool,
    check: Callable[[], None],
    ranks: Ranks,
) -> Evaluation:
    """Evaluate the model on `rows`, with its adapter or without; `check` may raise to stop."""

    def measure(batch: Sequence[Example]) -> list[tuple[float, ...]]:
        measured = objective.measure(batch)
        losses = measured.losses.double().tolist()
        if measured.margins is None:
            return [(loss,) for loss in losses]
        return list(zip(losses, measured.margins.double().tolist(), strict=True))

    with objective.model.evaluating(adapter):
        values = _over_rows(rows, measure, check, ranks)
    return Evaluation(
        ids=tuple(row.id for row in rows),
        weights=tuple(row.weight for row in rows),
        losses=tuple(value[0] / row.weight for row, value in zip(rows, values, strict=True)),
        margins=tuple(value[1] for value in values) if values and len(values[0]) > 1 else None,
    )


def with_reference(
    objective: Objective,
    rows: Sequence[Example],
    *,
    adapter: bool,
    check: Callable[[], None],
    ranks: Ranks,
) -> list[Example]:
    """Pairs with the log-likelihoods of their answers as the model gives them now.

    Computed once before training, so that no second model is held. Without `adapter` the bare base
    model answers. Rows that are no pairs are returned as they are.
    """
    if not any(isinstance(row, EncodedPair) for row in rows):
        return list(rows)

    def measure(batch: Sequence[Example]) -> list[tuple[float, ...]]:
        return [tuple(pair) for pair in objective.likelihoods(batch).view(-1, 2).tolist()]

    with objective.model.evaluating(adapter):
        values = _over_rows(rows, measure, check, ranks)
    return referenced(rows, values)


def referenced(rows: Sequence[Example], values: Sequence[Sequence[float]]) -> list[Example]:
    """The pairs with these log-likelihoods of the chosen and the rejected answer."""
    return [
        replace(row, reference=(value[0], value[1])) if isinstance(row, EncodedPair) else row
        for row, value in zip(rows, values, strict=True)
    ]


def cost_of(rows: Sequence[Example]) -> int:
    """Tokens including padding that one evaluation of `rows` puts through the model."""
    return sum(
        len(batch) * (max(rows[at].length for at in batch) - 1) for batch in _by_length(rows)
    )


def compare(base: Evaluation, adapter: Evaluation) -> dict[str, Any]:
    """What the training gained on the held-out rows, as the result's summary shows it."""
    gain = None
    finite = np.isfinite([*base.losses, *adapter.losses]).all()
    if base.ids and finite:
        gain = paired_gain(base.losses, adapter.losses).as_json()
    return {
        "base_loss": base.loss,
        "adapter_loss": adapter.loss,
        "gain": gain,
        **adapter.rewards,
        "heldout": {
            "ids": list(base.ids),
            "weights": list(base.weights),
            "base": list(base.losses),
            "adapter": list(adapter.losses),
        },
    }


def _over_rows(
    rows: Sequence[Example],
    measure: Callable[[Sequence[Example]], list[tuple[float, ...]]],
    check: Callable[[], None],
    ranks: Ranks,
) -> list[tuple[float, ...]]:
    """`measure` of every row, in the order of `rows`; each process takes its share of batches.

    Raises `Cancelled` in all processes if it was raised in one of them.
    """
    batches = _by_length(rows)
    own = batches[ranks.rank :: ranks.size]
    extra = -(-len(batches) // ranks.size) - len(own) if ranks.lockstep else 0
    values: dict[int, tuple[float, ...]] = {}
    stopped = False
    try:
        # In lockstep a process without a batch of its own runs one that does not count.
        for number, batch in enumerate(own + batches[:1] * extra):
            if not ranks.lockstep:
                check()
            measured = measure([rows[at] for at in batch])
            if number < len(own):
                values.update(zip(batch, measured, strict=True))
    except Cancelled:
        stopped = True
    shares = ranks.gather((stopped, values))
    if any(share[0] for share in shares):
        raise Cancelled
    everything = {at: value for share in shares for at, value in share[1].items()}
    return [everything[at] for at in range(len(rows))]


def _by_length(rows: Sequence[Example]) -> list[list[int]]:
    """Rows (by number) of like length in batches, each within the budget, the longest first."""
    batches: list[list[int]] = []
    width = 0
    for at in sorted(range(len(rows)), key=lambda at: (-rows[at].length, rows[at].id)):
        if batches and (len(batches[-1]) + 1) * width <= _BATCH_TOKENS:
            batches[-1].append(at)
        else:
            batches.append([at])
            width = rows[at].length
    return batches
