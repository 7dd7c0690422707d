"""The errors that reach a user.

Each class is one kind of failure. Its docstring is the message template: ``str(error)`` is the
docstring with the keyword arguments put in. `code` is the stable name that HTTP answers, job
failures and the CLI carry; `status` is the HTTP status; `next_step` says the way out.

Whatever failed, it is shown in one shape, `failure_body`: in jobs and their events, in transitions,
sweeps and schedules, by the trainer, and in the middle of a stream.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

#: Of each text that an error's message is put together from, and of those that a stranger sends.
MOST_CHARACTERS, MOST_SENT_CHARACTERS = 4000, 150
_SENT = frozenset({"id", "name", "given", "origin", "key", "kind", "alias", "model", "role"})


def failure_body(code: str, message: str | None, next_step: str | None) -> dict[str, str]:
    """A failure as clients see it and as rows keep it: ``code``, ``message`` and ``next_step``.

    All three are always there and always texts. Where nothing more can be said the text is empty,
    and never null: whoever shows a failure joins them and need not look.
    """
    return {"code": str(code), "message": message or "", "next_step": next_step or ""}


def shortened(text: str, most: int) -> str:
    """The text, cut to `most` characters: an error must not send back what a stranger sent."""
    return text if len(text) <= most else text[: most - 1] + "…"


def shown(field: Any, most: int = MOST_CHARACTERS) -> Any:
    """What an error shows of a field: all of it, or so much of a text."""
    return shortened(field, most) if isinstance(field, str) else field


def _most(name: str) -> int:
    return MOST_SENT_CHARACTERS if name in _SENT else MOST_CHARACTERS


class AcademyError(Exception):
    """Something went wrong in Academy: {detail}."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    next_step: ClassVar[str] = "Look for the request id in the server's log (HOME/logs/api.log)."

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        template = inspect.cleandoc(type(self).__doc__ or "")
        texts = {name: shown(each, _most(name)) for name, each in fields.items()}
        super().__init__(template.format(**texts))

    def failure(self) -> dict[str, str]:
        """This error as a failure; see `failure_body`."""
        return failure_body(self.code, str(self), self.next_step)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.fields))


def _rebuild(kind: type[AcademyError], fields: dict[str, Any]) -> AcademyError:
    return kind(**fields)


class BadSetting(AcademyError):
    """{name} is {value!r}, but it must be {allowed}."""

    code = "bad_setting"
    next_step = "Correct the environment variable and start again."


class SwitchedOff(AcademyError):
    """Academy is switched off: ACADEMY_ENABLED, also called ENABLE_ACADEMY, is false."""

    code = "switched_off"
    next_step = "Set it to true, or unset it, and start again."


class InvalidRequest(AcademyError):
    """{detail}"""

    code = "invalid_request"
    status = 422
    next_step = "Correct the named fields and send the request again."

    def __init__(self, *, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail=detail)
        self.errors = errors or []
        self.fields = {"detail": detail, "errors": self.errors}


#: How those of a noun are listed, for the nouns that a command lists.
_LIST_NEXT_STEPS = {
    "adapter": "`academy adapters` lists them; use one of those ids.",
    "dataset": "`academy dataset list` lists them; use one of those ids.",
    "delivery": "`academy webhooks deliveries WEBHOOK` lists them; use one of those ids.",
    "job": "`academy jobs` lists them; use one of those ids.",
    "key": "`academy keys list` lists them; use one of those ids.",
    "lesson": "`academy lessons list` lists them; use one of those ids.",
    "schedule": "`academy schedules list` lists them; use one of those names.",
    "share": "`academy shares` lists them; use one of those names.",
    "sweep": "`academy sweep list` lists them; use one of those ids.",
    "webhook": "`academy webhooks list` lists them; use one of those ids.",
    "worker": "`academy workers` lists them; use one of those ids.",
}


class NotFound(AcademyError):
    """There is no {noun} {id!r}."""

    code = "not_found"
    status = 404
    next_step = "List what there is and use one of those ids."

    def __init__(self, *, noun: str, id: Any) -> None:
        super().__init__(noun=noun, id=id)
        self.next_step = _LIST_NEXT_STEPS.get(noun, self.next_step)  # type: ignore[misc]  # its noun's


class Conflict(AcademyError):
    """{detail}"""

    code = "conflict"
    status = 409
    next_step = "Read the current state and decide again."


class Unauthorized(AcademyError):
    """{detail}"""

    code = "unauthorized"
    status = 401
    next_step = "Send 'Authorization: Bearer KEY' with a key that has not been revoked."


class Forbidden(AcademyError):
    """The key {name!r} has the role {role!r}; this needs the role {needed!r}."""

    code = "forbidden"
    status = 403
    next_step = "Use a key with that role, or ask an admin to make one."


class StorageFull(AcademyError):
    """{what} has no room to write: {why}."""

    code = "storage"
    status = 507
    next_step = "Free some space (`academy doctor` shows how much there is) and send it again."


class Unavailable(AcademyError):
    """{what} cannot be reached: {why}."""

    code = "unavailable"
    status = 503
    next_step = "Run `academy doctor` to see what is missing, then try again."


class DatasetTooSmall(AcademyError):
    """The dataset {dataset_id!r} has {rows} training rows; at least {needed} are needed, \
so {missing} are missing."""

    code = "dataset_too_small"
    status = 422
    next_step = "Record more lessons or raise git_commits_limit, then curate again."


class RepositoryRefused(AcademyError):
    """The repository {path!r} was refused: {why}."""

    code = "repository_refused"
    status = 422
    next_step = "Name a git repository inside one of the allowed roots (ACADEMY_REPO_ROOTS)."


class BaseModelUnavailable(AcademyError):
    """The base model {name!r} was not found; looked in {looked_in}."""

    code = "base_model_unavailable"
    status = 422
    next_step = "Put the model folder into one of those places, or name another base_model."


class StaleFence(AcademyError):
    """Job {job_id} is no longer held under fence {fence}; another owner has it."""

    code = "stale_fence"
    status = 409
    next_step = "Stop working on this job; nothing more may be written for it."


class DigestMismatch(AcademyError):
    """{path} has the digest {actual}, but {expected} was recorded."""

    code = "digest_mismatch"
    status = 409
    next_step = "Do not use these files; restore them from a backup or train again."
