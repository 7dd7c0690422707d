"""Kinds of jobs: what each one is, asked from its one declaration.

A kind is declared in a module of its own, as ``KIND``, and named in `academy.lifecycle.JobKind`.
The API, schedules, workers, the database's CHECK and `/status` ask that declaration; none of them
knows a kind by name. The declaring rooms lie above this one, so they are loaded by the module's
name and not imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from academy.errors import AcademyError, Conflict
from academy.jobs.attempt import Work
from academy.lifecycle import JobKind
from academy.queues import QUEUES
from academy.settings import Settings
from academy.store.engine import Session
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from academy.validation.reading import read

Request = TypeVar("Request", bound=BaseModel)


class UnknownKind(AcademyError):
    """There is no kind of job {kind!r}; there are {known}."""

    code = "unknown_kind"
    status = 422
    next_step = "Use one of these kinds, or update this process to a version that knows it."


class KindMisdeclared(AcademyError):
    """The kind of job {kind!r} is declared wrongly in {module}: {why}."""

    code = "kind_misdeclared"
    next_step = "Correct that module; docs/design.md says what a declaration holds."


@dataclass(frozen=True)
class Kind(Generic[Request]):
    """One kind of job.

    `submit` checks a request and queues its job (see `new_job`) in the caller's transaction, or
    raises before it wrote anything. `work` is what a worker of `queue` does with it. A kind that
    `can_pause` goes on where it was, or begins again, when it is resumed. `titles` are what people
    call it, by language. `nothing_new` says in a sentence why a request would only do again what
    was done; None if it would not.
    """

    name: JobKind
    summary: str
    queue: str
    request: type[Request]
    submit: Callable[[Session, Settings, Request, str | None], Job]
    work: Work
    can_pause: bool = False
    titles: Mapping[str, str] = field(default_factory=dict)
    nothing_new: Callable[[Session, Settings, Request], str | None] | None = None

    def title(self, language: str) -> str:
        """What people call it in that language, else in English, else its name."""
        return self.titles.get(language) or self.titles.get("en") or str(self.name)


@cache
def of(name: str) -> Kind[Any]:
    """The declaration of a kind. Raises `UnknownKind`, which names those that there are."""
    kind = {str(each): each for each in JobKind}.get(name)
    if kind is None:
        raise UnknownKind(kind=name, known=", ".join(JobKind))
    try:
        found = importlib.import_module(kind.module).KIND
    except (ModuleNotFoundError, AttributeError) as error:
        raise KindMisdeclared(kind=name, module=kind.module, why=str(error)) from error
    if not isinstance(found, Kind) or found.name != kind:
        why = f"its KIND is {getattr(found, 'name', found)!r}"
        raise KindMisdeclared(kind=name, module=kind.module, why=why)
    if found.queue not in QUEUES:
        why = f"there is no queue {found.queue!r}, only {', '.join(QUEUES)}"
        raise KindMisdeclared(kind=name, module=kind.module, why=why)
    return found


def every() -> list[Kind[Any]]:
    """All kinds, in the order in which they are named."""
    return [of(name) for name in JobKind]


def of_queue(queue: str) -> list[Kind[Any]]:
    """The kinds that the workers of a queue carry out."""
    return [kind for kind in every() if kind.queue == queue]


def names(kinds: Iterable[Kind[Any]]) -> tuple[str, ...]:
    """What they are called."""
    return tuple(str(kind.name) for kind in kinds)


def submit(
    session: Session, settings: Settings, name: str, body: dict[str, Any], created_by: str | None
) -> Job:
    """Queue a job of the kind `name` for `body`, read as strictly as its own endpoint reads it.

    Raises `UnknownKind`, `InvalidRequest` with pointers below ``/request``, and what the kind's own
    checks raise; nothing is written then.
    """
    kind = of(name)
    request = read(body, kind.request, below="/request", where="In request")
    return kind.submit(session, settings, request, created_by)


def new_job(name: JobKind, **columns: Any) -> Job:
    """A job of that kind with an id and its queue, yet to be queued by `transitions.submit`."""
    return Job(id=jobs.new_id(name), kind=name, queue=of(name).queue, **columns)


def pause(session: Session, job_id: str) -> Job:
    """A client's pause, where the job's kind allows one; raises `NotFound` or `Conflict`."""
    job = jobs.get(session, job_id)
    if not can_pause(job):
        kinds = ", ".join(names(kind for kind in every() if kind.can_pause))
        raise Conflict(
            detail=f"Job {job_id} is of the kind {job.kind!r}, which cannot be paused; {kinds} can."
        )
    return transitions.request_pause(session, job_id)


def can_pause(job: Job) -> bool:
    """Whether a job's kind can be paused; one that this process does not know cannot."""
    return job.kind in set(JobKind) and of(job.kind).can_pause
