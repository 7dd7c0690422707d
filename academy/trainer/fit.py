"""The training loop: steps, metrics, evaluations on the way, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from academy.errors import AcademyError
from academy.recipes.memory import CPU_TOKENS_AT_ONCE
from academy.recipes.recipe import Recipe
from academy.trainer.checkpoints import Counters, random_state, set_random_state
from academy.trainer.data.batches import Plan
from academy.trainer.data.encoding import Example
from academy.trainer.evaluation import cost_of, evaluate
from academy.trainer.hardware import memory_bytes
from academy.trainer.model.model import AnswerModel
from academy.trainer.objective import Objective
from academy.trainer.progress import Pace
from academy.trainer.ranks.ranks import Ranks
from academy.trainer.report import Report
from academy.trainer.step import Step, take_step
from academy.trainer.stop import Cancelled, StopRequest

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
        self.plan = Plan(
            [row.length for row in self.rows],
            self.recipe,
            tokens_at_once,
            packed=self.objective.packed,
        )
        self.final_cost = cost_of(self.proving)

    @property
    def model(self) -> AnswerModel:
        """The model that learns."""
        return self.objective.model


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
            step = _step(run)
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


def _step(run: Fit) -> Step:
    """Take the next step, count it, and say so if it was in vain."""
    rate = learning_rate(run.recipe, run.counters.step, run.plan.total_steps)
    taken = take_step(run, rate)
    _count(run.counters, taken)
    if not taken.is_sound:
        _note_bad_step(run, taken.odd)
    return taken


def _count(counters: Counters, step: Step) -> None:
    counters.step += 1
    counters.seconds += step.seconds
    counters.tokens += step.tokens
    counters.bad_steps = 0 if step.is_sound else counters.bad_steps + 1
    if step.is_sound:
        counters.answer_tokens += step.answer_tokens
        counters.loss_total += step.loss_total
        counters.weight += step.weight
        mean = step.loss_total / step.weight
        best = counters.best_step_loss
        counters.best_step_loss = mean if best is None else min(best, mean)


def _note_bad_step(run: Fit, rows: Sequence[str]) -> None:
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
