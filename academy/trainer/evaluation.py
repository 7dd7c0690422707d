"""The loss on held-out rows, row by row, before and after training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from academy.arena.paired import paired_gain
from academy.trainer.batches import collate
from academy.trainer.encoding import Encoded
from academy.trainer.model import AnswerModel

#: Tokens including padding in one evaluation batch; bounds the memory for the output head.
_BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Evaluation:
    """Mean negative log-likelihood per answer token of each row, in nats.

    `ids`, `answer_tokens` and `losses` have one entry a row, in the same order.
    """

    ids: tuple[str, ...]
    answer_tokens: tuple[int, ...]
    losses: tuple[float, ...]

    @property
    def loss(self) -> float | None:
        """The mean over all answer tokens, so a long answer weighs more; None without rows."""
        if not self.ids:
            return None
        return float(np.average(self.losses, weights=self.answer_tokens))


def evaluate(
    model: AnswerModel, rows: Sequence[Encoded], *, adapter: bool, check: Callable[[], None]
) -> Evaluation:
    """Evaluate `model` on `rows`, with its adapter or without; `check` may raise to stop."""
    losses: dict[str, float] = {}
    with model.evaluating(adapter):
        for batch_rows in _by_length(rows):
            check()
            batch = collate(batch_rows, model.device)
            totals = torch.zeros(len(batch_rows), dtype=torch.float64)
            totals.index_add_(0, batch.owners.cpu(), model.losses(batch).double().cpu())
            for row, total in zip(batch_rows, totals.tolist(), strict=True):
                losses[row.id] = total / row.answer_tokens
    return Evaluation(
        ids=tuple(row.id for row in rows),
        answer_tokens=tuple(row.answer_tokens for row in rows),
        losses=tuple(losses[row.id] for row in rows),
    )


def cost_of(rows: Sequence[Encoded]) -> int:
    """Tokens including padding that one evaluation of `rows` puts through the model."""
    return sum(
        len(batch) * (max(len(row.tokens) for row in batch) - 1) for batch in _by_length(rows)
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
        "heldout": {
            "ids": list(base.ids),
            "answer_tokens": list(base.answer_tokens),
            "base": list(base.losses),
            "adapter": list(adapter.losses),
        },
    }


def _by_length(rows: Sequence[Encoded]) -> list[list[Encoded]]:
    """Batches of rows of like length, each within the token budget, the longest first."""
    batches: list[list[Encoded]] = []
    width = 0
    for row in sorted(rows, key=lambda row: (-len(row.tokens), row.id)):
        if batches and (len(batches[-1]) + 1) * width <= _BATCH_TOKENS:
            batches[-1].append(row)
        else:
            batches.append([row])
            width = len(row.tokens)
    return batches
