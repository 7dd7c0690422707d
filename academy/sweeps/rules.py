"""What a sweep may be: knobs that the recipe has, values that it takes, a grid of bounded size."""

from __future__ import annotations

import difflib
from typing import Any

from academy.errors import InvalidRequest
from academy.sweeps.request import KNOBS, MOST_TRIALS, NOT_KNOBS, SweepRequest
from academy.training.request import TrainingRequest
from academy.validation.reading import read


def require_sound(wanted: SweepRequest) -> None:
    """Have the recipe itself look at every value; raises `InvalidRequest`, which names each."""
    read(wanted.training, TrainingRequest, below="/training", where="In training")
    errors = [error for name in wanted.knobs for error in _errors_of(wanted, name)]
    if not errors:
        errors = _errors_of_whole(wanted)
    if errors:
        more = f" ({len(errors) - 1} more in errors)" if len(errors) > 1 else ""
        raise InvalidRequest(detail=f"{errors[0]['detail'].rstrip('.')}{more}.", errors=errors)


def _errors_of(wanted: SweepRequest, name: str) -> list[dict[str, Any]]:
    """What is wrong with one knob: its name, or values that the recipe refuses."""
    pointer = f"/knobs/{name.replace('~', '~0').replace('/', '~1')}"
    if name not in KNOBS:
        why = "says how to train, not what is learnt" if name in NOT_KNOBS else "is no knob"
        close = difflib.get_close_matches(name, KNOBS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(KNOBS)}"
        detail = f"{name!r} {why}; {hint}"
        return [{"pointer": pointer, "detail": detail, "allowed": ", ".join(KNOBS)}]
    if name in wanted.training:
        detail = f"{name!r} is in training, too, so it is not clear what it shall be"
        return [{"pointer": pointer, "detail": detail, "allowed": "in knobs or in training"}]
    knob = wanted.knobs[name]
    if knob.values is None:
        given = [(f"{pointer}/low", knob.low), (f"{pointer}/high", knob.high)]
    else:
        given = [(f"{pointer}/values/{at}", value) for at, value in enumerate(knob.values)]
    errors = []
    for where, value in given:
        try:
            read({name: value}, TrainingRequest)
        except InvalidRequest as error:
            # A rule about two fields at once, such as patience and interval, is looked at below.
            own = [each for each in error.errors if each["pointer"].startswith(f"/{name}")]
            errors += [each | {"pointer": where} for each in own]
    return errors


def _errors_of_whole(wanted: SweepRequest) -> list[dict[str, Any]]:
    """What is wrong with the knobs together: too many combinations, or one that is refused."""
    size = wanted.size
    if wanted.method == "grid" and size is None:
        ranges = [name for name, knob in wanted.knobs.items() if knob.values is None]
        detail = f"a grid needs lists of values, but {ranges[0]!r} is a range"
        allowed = "values, or the method 'random' or 'tpe'"
        return [{"pointer": f"/knobs/{ranges[0]}", "detail": detail, "allowed": allowed}]
    if wanted.method == "grid" and size is not None and size > wanted.max_trials:
        detail = f"the grid has {size} combinations, but max_trials is {wanted.max_trials}"
        allowed = f"a grid of at most max_trials combinations; max_trials may be {MOST_TRIALS}"
        return [{"pointer": "/knobs", "detail": detail, "allowed": allowed}]
    if wanted.early_stopping == "median" and "eval_interval_steps" not in wanted.training:
        detail = "early_stopping is 'median', but trials are not evaluated on the way"
        allowed = "training.eval_interval_steps, or early_stopping 'none'"
        return [{"pointer": "/early_stopping", "detail": detail, "allowed": allowed}]
    for number in range(min(size or 0, MOST_TRIALS)):
        values = wanted.combination(number)
        try:
            read(wanted.training | values, TrainingRequest, below="/knobs", where=f"With {values}")
        except InvalidRequest as error:
            return [each | {"pointer": "/knobs", "detail": str(error)} for each in error.errors[:1]]
    return []
