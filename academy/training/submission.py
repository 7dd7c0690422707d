"""Admitting a training: what it needs is there, then one row makes it a job."""

from __future__ import annotations

from academy.basemodels import folders
from academy.errors import DatasetTooSmall, InvalidRequest
from academy.jobs import kinds
from academy.lifecycle import JobKind
from academy.recipes.recipe import Recipe
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.data.tables import Dataset
from academy.store.engine import Session
from academy.store.jobs import transitions
from academy.store.jobs.tables import Job
from academy.store.models import adapters
from academy.store.models.tables import Adapter
from academy.training.launch import LaunchRefused, grant
from academy.training.request import TrainingRequest


def submit_training(
    session: Session, settings: Settings, request: TrainingRequest, created_by: str | None
) -> Job:
    """Queue a training; the job row, its first transition and its hint are one transaction.

    Raises `NotFound`, `DatasetTooSmall`, `BaseModelUnavailable`, `LaunchRefused` or
    `InvalidRequest`, each before anything is written.
    """
    request = request.with_defaults(settings)
    launch = request.launch()
    granted = grant(launch, settings)
    if request.hosts > 1:
        if granted.launcher == "docker":
            raise LaunchRefused(
                detail=f"hosts is {request.hosts}, but the launcher is 'docker', and containers on "
                "several hosts do not reach each other"
            )
        # Kept with the job, since the default of a worker's host may be docker.
        launch = launch.model_copy(update={"launcher": granted.launcher})
    dataset = datasets.keep(session, dataset_of(session, request.dataset_id).id)
    if dataset.train_rows < settings.training.min_rows:
        raise DatasetTooSmall(
            dataset_id=dataset.id,
            rows=dataset.train_rows,
            needed=settings.training.min_rows,
            missing=settings.training.min_rows - dataset.train_rows,
        )
    base_model = request.base_model or settings.models.base
    folders.find(base_model, settings.model_folders)
    if request.init_adapter is not None:
        _require_same_shape(adapters.keep(session, request.init_adapter), request, base_model)
    job = kinds.new_job(
        JobKind.TRAINING,
        priority=request.priority,
        role=request.role,
        parameters=request.parameters(),
        launch=launch.model_dump(mode="json", exclude_defaults=True) or None,
        dataset_id=dataset.id,
        base_model=base_model,
        created_by=created_by,
    )
    transitions.submit(session, job)
    return job


def _require_same_shape(adapter: Adapter, request: TrainingRequest, base_model: str) -> None:
    """Refuse an adapter to start from that the recipe's does not have the shape of."""
    if adapter.base_model != base_model:
        raise InvalidRequest(
            detail=f"init_adapter {adapter.id} was made on {adapter.base_model}, not on "
            f"{base_model}."
        )
    made = Recipe.model_validate(adapter.parameters)
    for name in ("lora_rank", "alpha", "use_dora", "use_rslora", "target_modules"):
        theirs, ours = getattr(made, name), getattr(request, name)
        if theirs != ours:
            raise InvalidRequest(
                detail=f"init_adapter {adapter.id} has {name} {theirs!r}, but this training asks "
                f"for {ours!r}; ask for the same."
            )


def dataset_of(session: Session, dataset_id: str | None) -> Dataset:
    """The dataset that a training names, or the newest one; `NotFound` or `InvalidRequest`."""
    if dataset_id is not None:
        return datasets.get(session, dataset_id)
    newest = datasets.newest(session)
    if newest is None:
        raise InvalidRequest(
            detail="There is no dataset yet; make one with POST /dataset, then train on it."
        )
    return newest
