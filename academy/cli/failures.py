"""How an error reaches the person at the terminal, or the program that reads its JSON."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from academy.errors import AcademyError
from academy.logs import cause_chain

#: What goes wrong where something is written, and not in talking to a server.
_OF_OUTPUT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
_USAGE, _INTERNAL = "usage", "internal_error"


class StoppedWatching(AcademyError):
    """The job {job_id} goes on; only watching it has ended."""

    code = "interrupted"
    next_step = "Cancel it with `academy cancel JOB`; watch it again with `academy logs -f JOB`."

    def __init__(self, *, job_id: str) -> None:
        super().__init__(job_id=job_id)
        self.next_step = type(self).next_step.replace("JOB", job_id)  # type: ignore[misc]  # this job's


class StoppedWaiting(AcademyError):
    """Waiting has ended before the job's id was known; if it was queued, it goes on."""

    code = "interrupted"
    next_step = "Find it with `academy jobs`; cancel it with `academy cancel JOB`."


class FileUnusable(AcademyError):
    """{path}: {why}."""

    code = "file_unusable"
    next_step = "Name a file or folder that is there, that you may use, and whose disk has room."


class Watched:
    """The job that a command waits for, once its id is known."""

    def __init__(self, job_id: str | None) -> None:
        self.job_id = job_id

    def is_queued(self, job_id: str) -> None:
        """The server has queued it under this id."""
        self.job_id = job_id


@contextlib.contextmanager
def watching(job_id: str | None = None) -> Iterator[Watched]:
    """What a command does while it only waits for a job, which Ctrl-C does not end.

    Raises `StoppedWatching`, or `StoppedWaiting` while the id is not known.
    """
    watched = Watched(job_id)
    try:
        yield watched
    except KeyboardInterrupt:
        if watched.job_id is None:
            raise StoppedWaiting from None
        raise StoppedWatching(job_id=watched.job_id) from None


def wants_json(words: Sequence[str]) -> bool:
    """Whether a command line asks for JSON, be it one that can be carried out or not."""
    return "--json" in _options(words)


def tell(error: Exception, words: Sequence[str]) -> None:
    """Say on standard error what happened and the way out, as JSON if the command line wants it."""
    trace = _wants_traceback(words)
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _OF_OUTPUT):
        path = error.filename if error.filename is not None else "The output cannot be written"
        unusable = FileUnusable(path=path, why=error.strerror or type(error).__name__)
        error = unusable.with_traceback(error.__traceback__)
    if wants_json(words):
        body = _problem(error)
        if trace:
            body["traceback"] = "".join(traceback.format_exception(error))
        typer.echo(json.dumps(body, indent=2, ensure_ascii=False), err=True)
        return
    interrupted = isinstance(error, StoppedWatching | StoppedWaiting)
    typer.secho(f"academy: {cause_chain(error)}", fg=None if interrupted else "red", err=True)
    if isinstance(error, AcademyError):
        typer.echo(_next_step(error), err=True)
    if trace:
        typer.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
    elif not isinstance(error, AcademyError):
        typer.echo(_next_step(error), err=True)


def tell_usage(message: str, command: str, words: Sequence[str]) -> None:
    """Say that a command line cannot be read, as `tell` says an error."""
    next_step = f"Run `{command} --help` for what it takes."
    if wants_json(words):
        body = _body(_USAGE, "Usage", message, next_step)
        typer.echo(json.dumps(body, indent=2, ensure_ascii=False), err=True)
    else:
        typer.secho(f"academy: {message}", fg="red", err=True)
        typer.echo(next_step, err=True)


def _problem(error: Exception) -> dict[str, Any]:
    """A problem (RFC 9457), as the API shows one; that of the server if it comes from there."""
    sent: dict[str, Any] = getattr(error, "problem", {})
    if sent:
        return {"next_step": _next_step(error), **sent}
    code = error.code if isinstance(error, AcademyError) else _INTERNAL
    code = getattr(error, "problem_code", code)
    title = code.replace("_", " ").capitalize()
    return _body(code, title, cause_chain(error), _next_step(error))


def _body(code: str, title: str, detail: str, next_step: str) -> dict[str, Any]:
    return {
        "type": f"urn:academy:problem:{code}",
        "title": title,
        "detail": detail,
        "code": code,
        "next_step": next_step,
    }


def _next_step(error: Exception) -> str:
    if isinstance(error, AcademyError):
        # The server's own advice, if the error came from there, is nearer to the cause.
        return str(getattr(error, "problem_next_step", "") or error.next_step)
    return "Run it again with --debug for the traceback."


def _wants_traceback(words: Sequence[str]) -> bool:
    level = os.environ.get("ACADEMY_LOG_LEVEL", "").upper()
    return "--debug" in _options(words) or level == "DEBUG"


def _options(words: Sequence[str]) -> Sequence[str]:
    """The words that may be options: those before ``--``."""
    return words[: words.index("--")] if "--" in words else words
