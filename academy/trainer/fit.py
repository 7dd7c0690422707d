"""The training loop: steps, metrics, evaluations on the way, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from academy.errors import AcademyError
from academy.trainer.batches import CPU_TOKENS_AT_ONCE, Plan
from academy.trainer.checkpoints import Counters, random_state, set_random_state
from academy.trainer.encoding import Example
from academy.trainer.evaluation import cost_of, evaluate
from academy.trainer.hardware import memory_bytes
from academy.trainer.model import AnswerModel
from academy.trainer.objective import Measured, Objective
from academy.trainer.progress import Pace
from academy.trainer.ranks import Ranks
from academy.trainer.report import Report
from academy.trainer.stop import Cancelled, StopRequest
from academy.training.recipe import Recipe

#: An evaluated token takes this share of a trained one's time: there is no way back through the
#: layers. Measured on two CPU cores, 1.7 ms against 4.5 ms.
_EVALUATION_SHARE = 0.4


class Diverged(AcademyError):
    """The loss was not a number for {steps} steps in a row, up to step {step}, on rows {rows}."""

    code = "diverged"
    status = 422
    next_step = "Lower the learning_rate, and look at the named rows for what is odd about them."


@dataclass
class Fit:
    """A training under way. `recipe` has no "auto" left."""

    objective: Objective
    recipe: Recipe
    rows: Sequence[Example]
    choosing: Sequence[Example]  # held-out rows for the evaluations on the way
    proving: Sequence[Example]  # held-out rows for the evaluation after the last step
    report: Report
    stop: StopRequest
    counters: Counters
    save: Callable[[], None]  # writes a checkpoint of the state that is reached
    ranks: Ranks = field(default_factory=Ranks)
    best: dict[str, torch.Tensor] | None = None
    optimizer: torch.optim.AdamW = field(init=False)
    plan: Plan = field(init=False)
    final_cost: int = field(init=False)  # tokens in the evaluation after the last step

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(
            self.objective.model.trainable.values(),
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
        )
        tokens_at_once = CPU_TOKENS_AT_ONCE if self.recipe.device == "cpu" else None
        self.plan = Plan([row.length for row in self.rows], self.recipe, tokens_at_once)
        self.final_cost = cost_of(self.proving)

    @property
    def model(self) -> AnswerModel:
        """The model that learns."""
        return self.objective.model


@dataclass(frozen=True)
class Step:
    """What one optimizer step did; sums over its rows, in all processes."""

    loss_total: float
    weight: int  # what the loss is divided by: answer tokens, or pairs
    margin_total: float | None  # of the rewards of pairs
    right: float  # pairs whose chosen answer has the higher reward, ties a half
    answer_tokens: int
    tokens: int
    cost: int
    grad_norm: float
    learning_rate: float
    seconds: float


def fit(run: Fit) -> None:
    """Train until the last step, or until evaluations stop getting better.

    A stop request lets `Cancelled` through after a checkpoint was saved; a step that was under way
    is given up, and a resumed run takes it again with the same random numbers. Raises `Diverged`.
    """
    pace, waiting = Pace(), list[Step]()
    at_step_start = random_state()
    try:
        while not _is_over(run):
            at_step_start = random_state()
            step = _take_step(run)
            at_step_start = random_state()
            pace.add(step.cost, step.seconds)
            waiting.append(step)
            if run.counters.step % run.recipe.log_interval_steps == 0 or _is_last(run):
                _report_metrics(run, pace, waiting)
                waiting.clear()
            if run.counters.step % int(run.recipe.checkpoint_interval_steps) == 0 or _is_last(run):
                run.save()
    except Cancelled:
        set_random_state(at_step_start)
        run.save()
        raise
    if run.best is not None:
        run.model.set_weights(run.best)


def learning_rate(recipe: Recipe, step: int, total_steps: int) -> float:
    """The learning rate of step `step`, counted from 0: a linear rise, then the recipe's fall."""
    warmup = math.ceil(recipe.warmup_ratio * total_steps)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    if recipe.lr_scheduler == "constant":
        return recipe.learning_rate
    done = (step - warmup) / max(1, total_steps - warmup)
    if recipe.lr_scheduler == "linear":
        return recipe.learning_rate * (1 - done)
    return recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2


def _is_last(run: Fit) -> bool:
    return run.counters.step >= run.plan.total_steps


def _is_over(run: Fit) -> bool:
    """Whether training ends here; evaluates on the way where that is due."""
    counters, interval = run.counters, run.recipe.eval_interval_steps
    is_due = interval is not None and counters.step > 0
    is_due = is_due and (counters.step % (interval or 1) == 0 or _is_last(run))
    # A run resumed from the checkpoint of this very step may have evaluated already.
    if is_due and run.choosing and counters.evaluated_step != counters.step:
        _evaluate_on_the_way(run)
    patience = run.recipe.early_stopping_patience
    if patience is not None and counters.worse_evaluations >= patience and not _is_last(run):
        run.report.log(f"stopping early at step {counters.step}: no better loss {patience} times")
        return True
    return _is_last(run)


def _evaluate_on_the_way(run: Fit) -> None:
    done = evaluate(
        run.objective, run.choosing, adapter=True, check=run.stop.check, ranks=run.ranks
    )
    counters, loss = run.counters, done.loss
    run.report.evaluation("adapter", counters.step, done)
    counters.evaluated_step = counters.step
    best = counters.best_evaluation
    is_better = loss is not None and math.isfinite(loss) and (best is None or loss < best)
    if is_better:
        counters.best_evaluation, counters.worse_evaluations = loss, 0
        if run.recipe.early_stopping_patience is not None:
            run.best = run.model.weights()
    else:
        counters.worse_evaluations += 1


def _take_step(run: Fit) -> Step:
    """One optimizer step over all its batches, in all processes.

    The loss is the mean over all rows of the step by their weight, so cutting the step into
    smaller batches, or sharing it out to processes, changes nothing but the memory it takes.
    """
    started = time.monotonic()
    step = run.counters.step
    rows = [row for batch in _all_batches(run, step) for row in batch]
    weight = sum(row.weight for row in rows)
    share = _compute(run, step, weight)
    stopped, loss_total, margin_total, right, cost = run.ranks.sum(share.sums())
    if stopped:
        raise Cancelled
    run.ranks.sum_gradients(run.model.trainable.values())
    norm = float(nn.utils.clip_grad_norm_(run.model.trainable.values(), run.recipe.max_grad_norm))
    rate = learning_rate(run.recipe, step, run.plan.total_steps)
    is_sound = math.isfinite(loss_total) and math.isfinite(norm)
    if is_sound:
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        run.optimizer.step()
    run.optimizer.zero_grad()
    taken = Step(
        loss_total=loss_total,
        weight=weight,
        margin_total=margin_total if run.recipe.method == "dpo" else None,
        right=right,
        answer_tokens=sum(row.answer_tokens for row in rows),
        tokens=sum(len(each.tokens) for row in rows for each in row.sequences),
        cost=round(cost / run.ranks.size),
        grad_norm=norm,
        learning_rate=rate,
        seconds=time.monotonic() - started,
    )
    _count(run.counters, taken, is_sound)
    if not is_sound:
        odd = sorted(name for names in run.ranks.gather(share.odd) for name in names)
        _note_bad_step(run, odd or [row.id for row in rows])
    return taken


@dataclass
class _Share:
    """What this process contributes to a step besides its gradients."""

    stopped: bool = False  # a stop was requested here, so the step is given up everywhere
    loss_total: float = 0.0
    margin_total: float = 0.0
    right: float = 0.0
    cost: int = 0
    odd: list[str] = field(default_factory=list)  # rows whose loss is not a number

    def sums(self) -> list[float]:
        return [self.stopped, self.loss_total, self.margin_total, self.right, self.cost]


def _compute(run: Fit, step: int, weight: int) -> _Share:
    """Forward and backward over this process's batches of the step; leaves their gradients."""
    share = _Share()
    own = run.plan.batches(step, run.ranks.rank)
    extra = 0
    if run.ranks.lockstep:
        # Each pass needs all processes, so one with fewer batches runs one that does not count.
        most = max(len(run.plan.batches(step, rank)) for rank in range(run.ranks.size))
        extra = most - len(own)
    run.model.train()
    try:
        run.stop.check()
        for number, batch in enumerate(own + run.plan.batches(step)[:1] * extra):
            if not run.ranks.lockstep:
                run.stop.check()
            rows = [run.rows[row] for row in batch]
            measured = run.objective.measure(rows)
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
    share.cost += len(rows) * max(row.length for row in rows) - len(rows)
    share.odd += [rows[at].id for at in torch.nonzero(~losses.isfinite()).flatten().tolist()]
    if measured.margins is not None:
        share.margin_total += float(measured.margins.double().sum())
        ties = (measured.margins == 0).double().sum() / 2
        share.right += float((measured.margins > 0).double().sum() + ties)


def _all_batches(run: Fit, step: int) -> list[list[Example]]:
    """The step's rows, by process and batch."""
    return [
        [run.rows[row] for row in batch]
        for rank in range(run.ranks.size)
        for batch in run.plan.batches(step, rank)
    ]


def _count(counters: Counters, step: Step, is_sound: bool) -> None:
    counters.step += 1
    counters.seconds += step.seconds
    counters.tokens += step.tokens
    counters.bad_steps = 0 if is_sound else counters.bad_steps + 1
    if is_sound:
        counters.answer_tokens += step.answer_tokens
        counters.loss_total += step.loss_total
        counters.weight += step.weight
        mean = step.loss_total / step.weight
        best = counters.best_step_loss
        counters.best_step_loss = mean if best is None else min(best, mean)


def _note_bad_step(run: Fit, rows: list[str]) -> None:
    """The weights were left alone, so one odd batch is survived; many in a row are not."""
    step, bad = run.counters.step, run.counters.bad_steps
    named = ", ".join(rows[:10])
    if bad >= run.recipe.divergence_patience:
        raise Diverged(steps=bad, step=step, rows=named)
    run.report.log(f"step {step} was skipped: its loss is not a number on rows {named}", "warning")


def _report_metrics(run: Fit, pace: Pace, steps: Sequence[Step]) -> None:
    counters, last = run.counters, steps[-1]
    eta = pace.eta(run.plan.remaining_cost(counters.step) + _evaluation_cost_left(run))
    run.report.metrics(
        step=counters.step,
        total_steps=run.plan.total_steps,
        epoch=round(counters.step / run.plan.steps_per_epoch, 4),
        progress=round(counters.step / run.plan.total_steps, 4),
        loss=sum(each.loss_total for each in steps) / sum(each.weight for each in steps),
        **_rewards(steps),
        learning_rate=last.learning_rate,
        grad_norm=last.grad_norm,
        tokens=counters.tokens,
        tokens_per_second=round(
            sum(each.tokens for each in steps) / sum(each.seconds for each in steps), 1
        ),
        memory_bytes=memory_bytes(run.model.device),
        eta_seconds=_rounded(eta.seconds),
        eta_low=_rounded(eta.low),
        eta_high=_rounded(eta.high),
    )


def _rewards(steps: Sequence[Step]) -> dict[str, float]:
    """For preference pairs the mean margin of the rewards and how often it is the right way."""
    margins = [each.margin_total for each in steps if each.margin_total is not None]
    if not margins:
        return {}
    pairs = sum(each.weight for each in steps)
    return {
        "reward_margin": sum(margins) / pairs,
        "reward_accuracy": sum(each.right for each in steps) / pairs,
    }


def _evaluation_cost_left(run: Fit) -> float:
    """What the evaluations to come cost, in tokens of training."""
    cost = float(run.final_cost)
    if run.recipe.eval_interval_steps is not None:
        left = run.plan.total_steps - run.counters.step
        cost += math.ceil(left / run.recipe.eval_interval_steps) * cost_of(run.choosing)
    return cost * _EVALUATION_SHARE


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
