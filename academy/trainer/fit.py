"""The training loop: steps, metrics, evaluations on the way, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence

from academy.errors import AcademyError
from academy.trainer.checkpoints import Counters, random_state, set_random_state
from academy.trainer.evaluation import cost_of, evaluate
from academy.trainer.hardware import memory_bytes
from academy.trainer.progress import Pace
from academy.trainer.state import TrainState, learning_rate
from academy.trainer.step import Step, take_step
from academy.trainer.stop import Cancelled

#: An evaluated token takes this share of a trained one's time: there is no way back through the
#: layers. Measured on two CPU cores, 1.7 ms against 4.5 ms.
_EVALUATION_SHARE = 0.4


class Diverged(AcademyError):
    """The loss was not a number for {steps} steps in a row, up to step {step}, on rows {rows}."""

    code = "diverged"
    status = 422
    next_step = "Lower the learning_rate, and look at the named rows for what is odd about them."


def fit(state: TrainState) -> None:
    """Train until the last step, or until evaluations stop getting better.

    A stop request lets `Cancelled` through after a checkpoint was saved; a step that was under way
    is given up, and a resumed run takes it again with the same random numbers. Raises `Diverged`.
    """
    pace, waiting = Pace(), list[Step]()
    at_step_start = random_state()
    try:
        while not _is_over(state):
            at_step_start = random_state()
            step = _step(state)
            at_step_start = random_state()
            pace.add(step.cost, step.seconds)
            waiting.append(step)
            if state.counters.step % state.recipe.log_interval_steps == 0 or _is_last(state):
                _report_metrics(state, pace, waiting)
                waiting.clear()
            interval = int(state.recipe.checkpoint_interval_steps)
            if state.counters.step % interval == 0 or _is_last(state):
                state.save()
    except Cancelled:
        set_random_state(at_step_start)
        state.save()
        raise
    if state.best is not None:
        state.model.set_weights(state.best)


def _is_last(state: TrainState) -> bool:
    return state.counters.step >= state.plan.total_steps


def _is_over(state: TrainState) -> bool:
    """Whether training ends here; evaluates on the way where that is due."""
    counters, interval = state.counters, state.recipe.eval_interval_steps
    is_due = interval is not None and counters.step > 0
    is_due = is_due and (counters.step % (interval or 1) == 0 or _is_last(state))
    # A run resumed from the checkpoint of this very step may have evaluated already.
    if is_due and state.choosing and counters.evaluated_step != counters.step:
        _evaluate_on_the_way(state)
    patience = state.recipe.early_stopping_patience
    if patience is not None and counters.worse_evaluations >= patience and not _is_last(state):
        state.report.log(f"stopping early at step {counters.step}: no better loss {patience} times")
        return True
    return _is_last(state)


def _evaluate_on_the_way(state: TrainState) -> None:
    done = evaluate(
        state.objective, state.choosing, adapter=True, check=state.stop.check, ranks=state.ranks
    )
    counters, loss = state.counters, done.loss
    state.report.evaluation("adapter", counters.step, done)
    counters.evaluated_step = counters.step
    best = counters.best_evaluation
    is_better = loss is not None and math.isfinite(loss) and (best is None or loss < best)
    if is_better:
        counters.best_evaluation, counters.worse_evaluations = loss, 0
        if state.recipe.early_stopping_patience is not None:
            state.best = state.model.weights()
    else:
        counters.worse_evaluations += 1


def _step(state: TrainState) -> Step:
    """Take the next step, count it, and say so if it was in vain."""
    rate = learning_rate(state.recipe, state.counters.step, state.plan.total_steps)
    taken = take_step(state, rate)
    _count(state.counters, taken)
    if not taken.is_sound:
        _note_bad_step(state, taken.odd)
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


def _note_bad_step(state: TrainState, rows: Sequence[str]) -> None:
    """The weights were left alone, so one odd batch is survived; many in a row are not."""
    step, bad = state.counters.step, state.counters.bad_steps
    named = ", ".join(rows[:10])
    if bad >= state.recipe.divergence_patience:
        raise Diverged(steps=bad, step=step, rows=named)
    state.report.log(
        f"step {step} was skipped: its loss is not a number on rows {named}", "warning"
    )


def _report_metrics(state: TrainState, pace: Pace, steps: Sequence[Step]) -> None:
    counters, last = state.counters, steps[-1]
    eta = pace.eta(state.plan.remaining_cost(counters.step) + _evaluation_cost_left(state))
    state.report.metrics(
        step=counters.step,
        total_steps=state.plan.total_steps,
        epoch=round(counters.step / state.plan.steps_per_epoch, 4),
        progress=round(counters.step / state.plan.total_steps, 4),
        loss=sum(each.loss_total for each in steps) / sum(each.weight for each in steps),
        **_rewards(steps),
        learning_rate=last.learning_rate,
        grad_norm=last.grad_norm,
        tokens=counters.tokens,
        tokens_per_second=round(
            sum(each.tokens for each in steps) / sum(each.seconds for each in steps), 1
        ),
        memory_bytes=memory_bytes(state.model.device),
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


def _evaluation_cost_left(state: TrainState) -> float:
    """What the evaluations to come cost, in tokens of training."""
    cost = float(state.final_cost)
    if state.recipe.eval_interval_steps is not None:
        left = state.plan.total_steps - state.counters.step
        cost += math.ceil(left / state.recipe.eval_interval_steps) * cost_of(state.choosing)
    return cost * _EVALUATION_SHARE


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
