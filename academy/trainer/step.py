"""One optimizer step: this process's share of it, and what all processes make of their shares."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from academy.trainer.data.encoding import Example
from academy.trainer.objective import Measured
from academy.trainer.state import TrainState
from academy.trainer.stop import Cancelled


@dataclass(frozen=True)
class Step:
    """What one optimizer step did; sums over its rows, in all processes."""

    loss_total: float
    weight: int  # what the loss is divided by: answer tokens, or pairs
    margin_total: float | None  # of the rewards of pairs
    right: float  # pairs whose chosen answer has the higher reward, ties a half
    answer_tokens: int
    tokens: int
    cost: int  # tokens including padding in the longest share
    grad_norm: float
    learning_rate: float
    seconds: float
    odd: tuple[str, ...]  # rows because of which the weights were left alone

    @property
    def is_sound(self) -> bool:
        """Whether loss and gradient are numbers, so that the weights were changed."""
        return not self.odd


def take_step(state: TrainState, rate: float) -> Step:
    """One optimizer step at learning rate `rate` over all its batches, in all processes.

    The loss is the mean over all rows of the step by their weight, so cutting the step into
    smaller batches, or sharing it out to processes, changes nothing but the memory it takes.
    Weights are left alone if it is not a number. Lets `Cancelled` through in all processes if a
    stop was requested in one of them.
    """
    started = time.monotonic()
    step = state.counters.step
    rows = [row for batch in _all_batches(state, step) for row in batch]
    weight = sum(row.weight for row in rows)
    share = _compute(state, step, weight)
    stopped, loss_total, margin_total, right = state.ranks.sum(share.sums())
    if stopped:
        raise Cancelled
    state.ranks.sum_gradients(state.model.trainable.values())
    norm = float(
        nn.utils.clip_grad_norm_(state.model.trainable.values(), state.recipe.max_grad_norm)
    )
    is_sound = math.isfinite(loss_total) and math.isfinite(norm)
    if is_sound:
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.step()
    state.optimizer.zero_grad()
    odd: tuple[str, ...] = ()
    if not is_sound:
        named = sorted(name for names in state.ranks.gather(share.odd) for name in names)
        odd = tuple(named or [row.id for row in rows])
    return Step(
        loss_total=loss_total,
        weight=weight,
        margin_total=margin_total if state.recipe.method == "dpo" else None,
        right=right,
        answer_tokens=sum(row.answer_tokens for row in rows),
        tokens=sum(len(each.tokens) for row in rows for each in row.sequences),
        cost=state.plan.cost(step),
        grad_norm=norm,
        learning_rate=rate,
        seconds=time.monotonic() - started,
        odd=odd,
    )


@dataclass
class _Share:
    """What this process contributes to a step besides its gradients."""

    stopped: bool = False  # a stop was requested here, so the step is given up everywhere
    loss_total: float = 0.0
    margin_total: float = 0.0
    right: float = 0.0
    odd: list[str] = field(default_factory=list)  # rows whose loss is not a number

    def sums(self) -> list[float]:
        return [self.stopped, self.loss_total, self.margin_total, self.right]


def _compute(state: TrainState, step: int, weight: int) -> _Share:
    """Forward and backward over this process's batches of the step; leaves their gradients."""
    share = _Share()
    own = state.plan.batches(step, state.ranks.rank)
    extra = 0
    if state.ranks.lockstep:
        # Each pass needs all processes, so one with fewer batches runs one that does not count.
        most = max(len(state.plan.batches(step, rank)) for rank in range(state.ranks.size))
        extra = most - len(own)
    state.model.train()
    try:
        state.stop.check()
        for number, batch in enumerate(own + state.plan.batches(step)[:1] * extra):
            if not state.ranks.lockstep:
                state.stop.check()
            rows = [state.rows[row] for row in batch]
            measured = state.objective.measure(rows)
            counts = number < len(own)
            (measured.losses.sum() * (counts / weight)).backward()  # type: ignore[no-untyped-call]
            if counts:
                _add(share, rows, measured)
    except Cancelled:
        share.stopped = True
    return share


def _add(share: _Share, rows: Sequence[Example], measured: Measured) -> None:
    losses = measured.losses.detach()
    share.loss_total += float(losses.double().sum())
    share.odd += [rows[at].id for at in torch.nonzero(~losses.isfinite()).flatten().tolist()]
    if measured.margins is not None:
        share.margin_total += float(measured.margins.double().sum())
        ties = (measured.margins == 0).double().sum() / 2
        share.right += float((measured.margins > 0).double().sum() + ties)


def _all_batches(state: TrainState, step: int) -> list[list[Example]]:
    """The step's rows, by process and batch."""
    return [
        [state.rows[row] for row in batch]
        for rank in range(state.ranks.size)
        for batch in state.plan.batches(step, rank)
    ]
