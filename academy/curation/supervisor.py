"""Carrying a claimed curation through: stream the sources, curate, publish, record."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from academy.basemodels import folders
from academy.curation.curate import curate
from academy.curation.dataset.statistics import CountTokens
from academy.curation.errors import CurationStopped
from academy.curation.progress import Progress
from academy.curation.request import CurationRequest
from academy.curation.sources import Row
from academy.curation.split.previous_splits import PreviousSplits
from academy.curation.store_sources import (
    StoredSides,
    stored_held_out,
    stored_lessons,
    stored_runs,
    stored_tasks,
)
from academy.curation.uploads import kept
from academy.jobs.attempt import Attempt, StoppedOnRequest
from academy.store.data import datasets
from academy.store.engine import Session
from academy.store.jobs import transitions


def curate_job(attempt: Attempt) -> Callable[[Session], None]:
    """The work of a curation job; returns what records its success (see `attempt.carry_out`)."""
    asked = CurationRequest.model_validate(attempt.job.parameters)
    folder = attempt.settings.home / "work" / attempt.job.id
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    attempt.start()
    try:
        request = _with_remotes(attempt, asked)
        result = curate(
            request,
            lessons=stored_lessons(attempt, request.lessons_limit),
            tasks=stored_tasks(attempt, request.tasks_limit),
            runs=stored_runs(attempt, request.runs_limit),
            uploads=_uploads(attempt, request),
            out=folder / "dataset",
            allowed_roots=[*attempt.settings.allowed_repo_roots, _mirrors(attempt)],
            progress=lambda progress: _tell(attempt, progress),
            should_stop=lambda: attempt.hold.wanted is not None,
            previous=PreviousSplits(StoredSides(attempt), stored_held_out(attempt, request)),
            memory=_memory(attempt),
            count_tokens=_token_counter(attempt, request),
        )
        for note in result.notes:
            attempt.events.emit("log", level="info", message=note)
        key = attempt.store.publish(result.folder, "datasets", attempt.check)
    except CurationStopped as error:
        raise StoppedOnRequest from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _recorder(attempt, request, key, result.digest, result.statistics)


def _recorder(
    attempt: Attempt, request: CurationRequest, key: str, digest: str, statistics: dict[str, Any]
) -> Callable[[Session], None]:
    dataset_id = "dataset_" + digest.removeprefix("sha256:")[:16]

    def record(session: Session) -> None:
        registered = datasets.register(
            session,
            id=dataset_id,
            digest=digest,
            key=key,
            format=request.format,
            train_rows=statistics["train_rows"],
            heldout_rows=statistics["heldout_rows"],
            statistics=statistics,
            request=attempt.job.parameters,
            job_id=attempt.job.id,
        )
        transitions.finish(
            session,
            attempt.claim,
            {
                "dataset_id": registered.id,
                "dataset_path": f"{attempt.store.url}/{registered.key}/dataset.jsonl",
                "statistics": statistics,
            },
        )

    return record


def _uploads(attempt: Attempt, request: CurationRequest) -> Iterator[Row]:
    return kept.rows_of(
        attempt.store,
        request.uploads,
        max_bytes=attempt.settings.api.max_upload_bytes,
        pairs=request.makes_pairs,
    )


def _with_remotes(attempt: Attempt, request: CurationRequest) -> CurationRequest:
    """The request with every remote repository fetched, and the path of its copy in its place."""
    if not request.repositories or not attempt.settings.git.remotes:
        return request
    from academy.curation.git import remote
    from academy.curation.git.repository import is_remote

    paths = []
    for path in request.repositories:
        if is_remote(path):
            message = f"Fetching {path}."
            attempt.events.emit("log", level="info", message=message)
            seconds = attempt.settings.git.remote_seconds
            path = str(remote.fetch(path, _mirrors(attempt), seconds, attempt.check))
        paths.append(path)
    return request.model_copy(update={"repositories": tuple(paths)})


def _mirrors(attempt: Attempt) -> Path:
    """Where copies of remote repositories are kept, so that the next fetch gets only the new."""
    return (attempt.settings.home / "cache" / "repositories").resolve()


def _memory(attempt: Attempt) -> Path:
    """Where judged commits are remembered, so that the next run reads only the new ones."""
    folder = attempt.settings.home / "cache" / "commits"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # it holds what nobody has masked
    return folder


def _token_counter(attempt: Attempt, request: CurationRequest) -> CountTokens | None:
    """Counts by the tokenizer of the base model that the request names; None if it names none."""
    if request.base_model is None:
        return None
    from tokenizers import Tokenizer  # only a run that counts tokens needs it

    model = folders.find(request.base_model, attempt.settings.model_folders)
    tokenizer = Tokenizer.from_file(str(model.path / "tokenizer.json"))
    return lambda texts: [len(each.ids) for each in tokenizer.encode_batch(list(texts))]


def _tell(attempt: Attempt, progress: Progress) -> None:
    figures = asdict(progress)
    attempt.hold.progress = figures
    attempt.events.emit("progress", **figures)
