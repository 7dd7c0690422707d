"""What a curation is, as a kind of job."""

from __future__ import annotations

from academy.curation.request import CurationRequest
from academy.curation.submission import submit_curation
from academy.jobs.attempt import Attempt, Record
from academy.jobs.kinds import Kind
from academy.lifecycle import JobKind
from academy.queues import CURATION


def _work(attempt: Attempt) -> Record:
    from academy.curation.supervisor import curate_job  # loads what only its workers need

    return curate_job(attempt)


KIND = Kind(
    name=JobKind.CURATION,
    summary="Lessons, git history and conversations become a dataset.",
    queue=CURATION,
    request=CurationRequest,
    submit=submit_curation,
    work=_work,
    can_pause=True,  # it begins again
    titles={"en": "Curation", "pl": "Przygotowanie danych", "de": "Datenaufbereitung"},
)
