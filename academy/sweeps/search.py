"""Which values a sweep tries next, as a function of its seed and of the trials before."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from academy.sweeps.request import Knob, SweepRequest

#: Draws that tpe makes blindly before it learns from them (Optuna's default is 10, which is more
#: than many sweeps of trainings have).
_BLIND_DRAWS = 5
_MOST_REDRAWS = 200


@dataclass(frozen=True)
class Tried:
    """A trial so far: its values, and its held-out loss; None while it runs or if it has none."""

    values: dict[str, Any]
    loss: float | None
    is_over: bool


def next_values(request: SweepRequest, tried: Sequence[Tried]) -> dict[str, Any] | None:
    """The values of the next trial; None if there is nothing left that was not tried."""
    number = len(tried)
    if number >= request.trials:
        return None
    if request.method == "grid":
        return request.combination(number)
    seen = {_key(each.values) for each in tried}
    if request.method == "tpe" and number >= _BLIND_DRAWS:
        wanted = _by_parzen_estimator(request, tried)
        if _key(wanted) not in seen:
            return wanted
    chance = random.Random(f"{request.seed}:{number}")
    for _ in range(_MOST_REDRAWS):
        drawn = {
            name: _draw(chance, knob, request.is_whole(name)) for name, knob in request.ordered
        }
        if _key(drawn) not in seen:
            return drawn
    return _first_untried(request, seen)


def _draw(chance: random.Random, knob: Knob, is_whole: bool) -> Any:
    if knob.values is not None:
        return chance.choice(knob.values)
    low, high = knob.low, knob.high
    assert low is not None and high is not None
    if is_whole and not knob.log:
        return chance.randint(int(low), int(high))
    if not knob.log:
        return chance.uniform(low, high)
    drawn = math.exp(chance.uniform(math.log(low), math.log(high)))
    drawn = min(max(drawn, low), high)
    return round(drawn) if is_whole else drawn


def _first_untried(request: SweepRequest, seen: set[str]) -> dict[str, Any] | None:
    """In a small space nearly all of which was drawn, the rest in order."""
    for number in range(min(request.size or 0, len(seen) + 1)):
        values = request.combination(number)
        if _key(values) not in seen:
            return values
    return None


def _by_parzen_estimator(request: SweepRequest, tried: Sequence[Tried]) -> dict[str, Any]:
    """Optuna's TPE (Bergstra et al., NeurIPS 2011), asked afresh with all trials so far.

    A new study for each question keeps nothing in memory between two keepers. Trials that still run
    count as bad ones ("constant liar"), so that parallel trials do not all try the same place.
    """
    import optuna  # takes half a second, which only a sweep of this kind shall pay

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        seed=(request.seed + 1_000_003 * len(tried)) % 2**32,
        n_startup_trials=1,
        constant_liar=True,
    )
    study = optuna.create_study(sampler=sampler, direction="minimize")
    spaces = {name: _distribution(knob, request.is_whole(name)) for name, knob in request.ordered}
    for each in tried:
        params = {name: _code(knob, each.values[name]) for name, knob in request.ordered}
        unmeasured = (
            optuna.trial.TrialState.FAIL if each.is_over else optuna.trial.TrialState.RUNNING
        )
        measured = optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.trial.create_trial(
                params=params,
                distributions=spaces,
                value=each.loss,
                state=measured if each.loss is not None else unmeasured,
            )
        )
    asked = study.ask(spaces).params
    return {
        name: asked[name] if knob.values is None else knob.values[asked[name]]
        for name, knob in request.ordered
    }


def _distribution(knob: Knob, is_whole: bool) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if knob.values is not None:
        # By place in the list, as a value may be a list itself.
        return CategoricalDistribution(list(range(len(knob.values))))
    low, high = knob.low, knob.high
    assert low is not None and high is not None
    if is_whole:
        return IntDistribution(int(low), int(high), log=knob.log)
    return FloatDistribution(low, high, log=knob.log)


def _code(knob: Knob, value: Any) -> Any:
    return value if knob.values is None else knob.values.index(value)


def _key(values: dict[str, Any]) -> str:
    return repr(sorted(values.items()))
