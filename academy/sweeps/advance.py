"""Carrying a sweep through: beginning its trials, stopping poor ones, ending it.

Whoever advances a sweep holds its row; the trial's row, its job and the job's hint are one
transaction. So any number of keepers, killed at any moment, begin each trial exactly once.
"""

from __future__ import annotations

import logging
import statistics
from typing import Any

from academy.errors import AcademyError, Conflict, InvalidRequest
from academy.events import figures
from academy.lifecycle import TERMINAL, Status
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Session, Sessions, StoreError
from academy.store.jobs import transitions
from academy.store.plans import sweeps
from academy.store.plans.sweep_tables import Sweep
from academy.store.plans.sweeps import Trial
from academy.sweeps.request import SweepRequest
from academy.sweeps.rules import require_sound
from academy.sweeps.search import Tried, next_values
from academy.training.request import TrainingRequest
from academy.training.submission import submit_training
from academy.validation.reading import read

log = logging.getLogger(__name__)

#: Failures with which a sweep begins after which it ends: the next trials would fail alike.
_HOPELESS = 3
#: A keeper turns to its other duties after so many.
_MOST_AT_ONCE = 100


def create_sweep(
    session: Session, settings: Settings, request: SweepRequest, created_by: str | None
) -> Sweep:
    """Keep a sweep and begin its first trials, all in the caller's transaction.

    Raises what `require_sound` and `submit_training` raise, and `InvalidRequest` where there is
    nothing to compare trials by or the budget holds no trial. The dataset, the base model and the
    defaults of the settings are those of now, also for trials that begin when there are newer ones.
    """
    require_sound(request)
    request = _with_defaults(request, settings)
    values = next_values(request, [])
    assert values is not None  # a sweep has one trial at least
    first = submit_training(session, settings, _training(request.training, values), created_by)
    dataset = datasets.get(session, str(first.dataset_id))
    if not dataset.heldout_rows:
        raise InvalidRequest(
            detail=f"The dataset {dataset.id!r} has no held-out rows, so its trials cannot be "
            "compared; curate one with a split."
        )
    steps = _steps(request.training, values, dataset.train_rows)
    if request.max_total_steps is not None and steps > request.max_total_steps:
        raise InvalidRequest(
            detail=f"max_total_steps is {request.max_total_steps}, but one trial takes {steps}.",
            errors=[
                {
                    "pointer": "/max_total_steps",
                    "detail": f"is {request.max_total_steps}: the first trial takes {steps} steps",
                    "allowed": f"at least {steps}, or a training with fewer max_steps",
                }
            ],
        )
    chosen = {"dataset_id": dataset.id, "base_model": first.base_model}
    kept = request.model_copy(update={"training": request.training | chosen})
    sweep = sweeps.create(
        session,
        request=kept.model_dump(mode="json", exclude_unset=True) | {"training": kept.training},
        dataset_id=dataset.id,
        base_model=first.base_model,
        created_by=created_by,
    )
    _record_trial(session, sweep, 1, first.id, values, steps)
    advance(session, settings, sweep)
    return sweep


def advance_sweeps(sessions: Sessions, settings: Settings) -> int:
    """Advance every running sweep that no other keeper holds; how many trials were begun."""
    begun = 0
    done: list[str] = []
    for _ in range(_MOST_AT_ONCE):
        sweep_id = None
        try:
            with sessions.begin() as session:
                sweep = sweeps.take_running(session, done)
                if sweep is None:
                    break
                sweep_id = sweep.id
                done.append(sweep_id)
                begun += advance(session, settings, sweep)
        except StoreError:
            if sweep_id is None:
                raise
            # It is tried again in the next round, and keeps no other sweep from its turn.
            log.exception("a sweep could not be advanced", extra={"sweep_id": sweep_id})
    return begun


def advance(session: Session, settings: Settings, sweep: Sweep) -> int:
    """Stop poor trials, begin the next ones, end what is over; how many were begun.

    The caller holds the sweep's row.
    """
    request = request_of(sweep)
    trials = sweeps.trials(session, sweep.id)
    if request.early_stopping == "median":
        _stop_poor_trials(session, sweep, request, trials)
    begun, why = 0, None
    while why is None and _live(trials) < request.parallel:
        why = _begin_next(session, settings, sweep, request, trials)
        if why is None:
            begun += 1
            trials = sweeps.trials(session, sweep.id)
    if why is not None and not _live(trials):
        succeeded = any(trial.job.status == Status.FINISHED for trial in trials)
        sweeps.end(session, sweep.id, "finished" if succeeded else "failed", why)
        log.info("a sweep ended: %s", why, extra={"sweep_id": sweep.id, "trials": len(trials)})
    return begun


def cancel_sweep(session: Session, sweep_id: str) -> list[str]:
    """Cancel a running sweep and every trial that is not over; the ids of jobs that ended at once.

    Raises `NotFound`, or `Conflict` for a sweep that is over.
    """
    sweep = sweeps.lock(session, sweep_id)
    if sweep.status != "running":
        raise Conflict(detail=f"The sweep {sweep_id} is already {sweep.status}.")
    ended = []
    for trial in sweeps.trials(session, sweep_id):
        if trial.job.status not in TERMINAL and _cancel(session, trial):
            ended.append(trial.job.id)
    sweeps.end(session, sweep_id, "cancelled", "a client cancelled it")
    return ended


def request_of(sweep: Sweep) -> SweepRequest:
    """What was asked for, with the dataset and the base model filled in."""
    return SweepRequest.model_validate(sweep.request)


def loss_of(session: Session, trial: Trial) -> float | None:
    """A trial's held-out loss: of its adapter, or the last one measured of a trial cut short."""
    summary = (trial.job.result or {}).get("summary", {})
    if trial.job.status == Status.FINISHED:
        loss = summary.get("adapter_loss")
        return float(loss) if loss is not None else None
    if trial.row.stopped_because is not None:
        measured = _evaluations(session, trial)
        return measured[-1][1] if measured else None
    return None


def steps_of(trial: Trial) -> int:
    """Steps that a trial takes from the budget: those it did if it is over, else all it may do."""
    if trial.job.status not in TERMINAL:
        return trial.row.steps
    summary = (trial.job.result or {}).get("summary", {})
    done = summary.get("steps", (trial.job.progress or {}).get("step")) or 0
    return min(int(done), trial.row.steps)


def _begin_next(
    session: Session,
    settings: Settings,
    sweep: Sweep,
    request: SweepRequest,
    trials: list[Trial],
) -> str | None:
    """Begin one trial; or why no other will be begun."""
    codes = [trial.job.failure_code for trial in trials if trial.job.status in TERMINAL]
    if len(codes) >= _HOPELESS and all(codes):
        return f"the first {len(codes)} trials all failed, the last with {codes[-1]}"
    tried = [
        Tried(trial.row.knobs, loss_of(session, trial), trial.job.status in TERMINAL)
        for trial in trials
    ]
    values = next_values(request, tried)
    if values is None:
        return f"all {len(trials)} trials were made"
    rows = datasets.get(session, sweep.dataset_id).train_rows
    steps = _steps(request.training, values, rows)
    spent = sum(steps_of(trial) for trial in trials)
    if request.max_total_steps is not None and spent + steps > request.max_total_steps:
        if _live(trials):
            return "max_total_steps leaves no room for another trial"  # unless one ends early
        return f"{spent} of max_total_steps, {request.max_total_steps}, are spent"
    try:
        # What a refused submission had begun to write is taken back.
        with session.begin_nested():
            wanted = _training(request.training, values)
            job = submit_training(session, settings, wanted, sweep.created_by)
    except StoreError:
        raise
    except AcademyError as error:
        return f"the next trial was refused: {error}"
    _record_trial(session, sweep, len(trials) + 1, job.id, values, steps)
    return None


def _record_trial(
    session: Session, sweep: Sweep, number: int, job_id: str, values: dict[str, Any], steps: int
) -> None:
    sweeps.add_trial(
        session, sweep_id=sweep.id, number=number, job_id=job_id, knobs=values, steps=steps
    )
    log.info("a trial was begun", extra={"sweep_id": sweep.id, "trial": number, "job_id": job_id})


def _stop_poor_trials(
    session: Session, sweep: Sweep, request: SweepRequest, trials: list[Trial]
) -> None:
    """The median rule (Golovin et al., Google Vizier, KDD 2017), by the share of the work done.

    A trial goes when its best loss so far is above the median of the others' best losses up to the
    same share. By shares and not by steps, because trials with other batches have other steps.
    """
    curves = {
        trial.row.number: _evaluations(session, trial)
        for trial in trials
        if trial.job.status != Status.FAILED
    }
    for trial in trials:
        own = curves.get(trial.row.number)
        if not own or trial.job.status != Status.RUNNING or trial.row.stopped_because is not None:
            continue
        reached = own[-1][0]
        others = [
            min(loss for share, loss in curve if share <= reached)
            for number, curve in curves.items()
            if number != trial.row.number
            and curve
            and curve[-1][0] >= reached
            and curve[0][0] <= reached
        ]
        best = min(loss for _, loss in own)
        if len(others) < request.min_trials or best <= statistics.median(others):
            continue
        why = (
            f"after {reached:.0%} its best loss was {best:.4f}, above the median "
            f"{statistics.median(others):.4f} of {len(others)} others"
        )
        _cancel(session, trial)
        sweeps.stop_trial(session, sweep.id, trial.row.number, why)


def _evaluations(session: Session, trial: Trial) -> list[tuple[float, float]]:
    """Share of the work and held-out loss, at each evaluation on the way."""
    found: dict[int, float] = {}
    for event in figures.archived(session, trial.job.id):
        fields = event.fields
        if event.type == "evaluation" and fields.get("name") == "adapter":
            step, loss = fields.get("step"), fields.get("loss")
            if isinstance(step, int) and step > 0 and isinstance(loss, int | float):
                found[step] = float(loss)
    return [(step / trial.row.steps, found[step]) for step in sorted(found)]


def _cancel(session: Session, trial: Trial) -> bool:
    """Ask for a trial's end; whether that was at once."""
    try:
        return transitions.request_cancel(session, trial.job.id).status == Status.CANCELLED
    except Conflict:
        return False  # it ended by itself in the meantime


def _live(trials: list[Trial]) -> int:
    return sum(trial.job.status not in TERMINAL for trial in trials)


def _steps(training: dict[str, Any], values: dict[str, Any], rows: int) -> int:
    return _training(training, values).recipe().total_steps(rows)


def _with_defaults(request: SweepRequest, settings: Settings) -> SweepRequest:
    """The sweep with what the settings say of the recipe, which all its trials are to share."""
    defaults = _training(request.training, {}).defaults(settings)
    shared = {name: value for name, value in defaults.items() if name not in request.knobs}
    return request.model_copy(update={"training": request.training | shared})


def _training(training: dict[str, Any], values: dict[str, Any]) -> TrainingRequest:
    """A trial as ``POST /train`` would read it; raises `InvalidRequest`."""
    return read(training | values, TrainingRequest, below="/training", where=f"With {values}")
