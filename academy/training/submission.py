"""Admitting a training: what it needs is there, then one row makes it a job."""

from __future__ import annotations

from academy import basemodels
from academy.errors import DatasetTooSmall, InvalidRequest
from academy.lifecycle import JobKind
from academy.queues import QUEUE_OF_KIND
from academy.settings import Settings
from academy.store import datasets, jobs, transitions
from academy.store.engine import Session
from academy.store.tables import Dataset, Job
from academy.training.launch import grant
from academy.training.request import TrainingRequest


def submit_training(
    session: Session, settings: Settings, request: TrainingRequest, created_by: str | None
) -> Job:
    """Queue a training; the job row, its first transition and its hint are one transaction.

    Raises `NotFound`, `DatasetTooSmall`, `BaseModelUnavailable`, `LaunchRefused` or
    `InvalidRequest`, each before anything is written.
    """
    launch = request.launch()
    grant(launch, settings)
    dataset = _dataset(session, request.dataset_id)
    if dataset.train_rows < settings.min_train_rows:
        raise DatasetTooSmall(
            dataset_id=dataset.id,
            rows=dataset.train_rows,
            needed=settings.min_train_rows,
            missing=settings.min_train_rows - dataset.train_rows,
        )
    base_model = request.base_model or settings.base_model
    basemodels.find(base_model, settings.model_folders)
    job = Job(
        id=jobs.new_id(JobKind.TRAINING),
        kind=JobKind.TRAINING,
        queue=QUEUE_OF_KIND[JobKind.TRAINING],
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


def _dataset(session: Session, dataset_id: str | None) -> Dataset:
    if dataset_id is not None:
        return datasets.get(session, dataset_id)
    newest = datasets.newest(session)
    if newest is None:
        raise InvalidRequest(
            detail="There is no dataset yet; make one with POST /dataset, then train on it."
        )
    return newest
