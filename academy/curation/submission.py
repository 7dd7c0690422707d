"""Admitting a curation: its repositories are readable, then one row makes it a job."""

from __future__ import annotations

from academy.basemodels import folders
from academy.curation.request import CurationRequest
from academy.jobs import kinds
from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store.engine import Session
from academy.store.jobs import transitions
from academy.store.jobs.tables import Job


def submit_curation(
    session: Session, settings: Settings, request: CurationRequest, created_by: str | None
) -> Job:
    """Queue a curation; the job row, its first transition and its hint are one transaction.

    Raises `RepositoryRefused`, `NotFound` (an upload) or `BaseModelUnavailable` before anything is
    written.
    """
    request = request.with_defaults(settings)
    if request.git_commits_limit > 0 and not request.makes_pairs:
        # Opening a repository brings GitPython in, which the API need not load before.
        from academy.curation.git.examples import open_repositories

        open_repositories(_local(request, settings), settings.allowed_repo_roots)
    if request.uploads:
        from academy.artifacts.store import ArtifactStore  # fsspec only where files are read
        from academy.curation.uploads import kept

        kept.require(ArtifactStore(settings), request.uploads)
    if request.base_model is not None:
        folders.find(request.base_model, settings.model_folders)
    job = kinds.new_job(
        JobKind.CURATION,
        parameters=request.model_dump(mode="json"),
        base_model=request.base_model,
        created_by=created_by,
    )
    transitions.submit(session, job)
    return job


def _local(request: CurationRequest, settings: Settings) -> tuple[str, ...] | None:
    """The repositories to be opened now: where remote ones are allowed, these are only checked."""
    if request.repositories is None or not settings.git.remotes:
        return request.repositories
    from academy.curation.git.remote import check_address
    from academy.curation.git.repository import is_remote

    for address in filter(is_remote, request.repositories):
        check_address(address)
    return tuple(path for path in request.repositories if not is_remote(path))
