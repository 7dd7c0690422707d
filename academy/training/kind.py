"""What a training is, as a kind of job."""

from __future__ import annotations

from academy.jobs.attempt import Attempt, Record
from academy.jobs.kinds import Kind
from academy.lifecycle import JobKind
from academy.queues import GPU
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Session
from academy.store.jobs import jobs
from academy.training.request import TrainingRequest
from academy.training.submission import dataset_of, submit_training


def _work(attempt: Attempt) -> Record:
    from academy.training.supervisor import train  # loads what only its workers need

    return train(attempt)


def _nothing_new(session: Session, settings: Settings, request: TrainingRequest) -> str | None:
    """Whether the dataset was trained on, or is about to be, by its role and base model.

    The dataset is the one that the training would take: the named or the newest one. A dataset is
    named by the digest of its files, so a curation that found nothing new makes no new one. Raises
    what the submission would raise if there is no dataset.
    """
    dataset = dataset_of(session, request.dataset_id)
    # Two schedules that are due together would each find no training: one waits for the other.
    datasets.lock(session, dataset.id)
    base_model = request.base_model or settings.models.base
    earlier = jobs.training_on(session, dataset.id, base_model, request.role)
    if earlier is None:
        return None
    return f"The training {earlier.id} of the dataset {dataset.id} is {earlier.status} already."


KIND = Kind(
    name=JobKind.TRAINING,
    summary="A dataset becomes an adapter.",
    queue=GPU,
    request=TrainingRequest,
    submit=submit_training,
    work=_work,
    can_pause=True,
    titles={"en": "Training", "pl": "Trening", "de": "Training"},
    nothing_new=_nothing_new,
)
