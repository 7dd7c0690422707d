"""OpenAI's error object, as its clients read it.

They raise an exception of their own by the HTTP status and show ``message``; ``type``, ``param``
and ``code`` are its attributes. Every answer and every stream that carries an ``error`` has it from
here: the API's problems, the gateway's streams and the model server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from academy.errors import AcademyError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


def error_type(status: int) -> str:
    """OpenAI's name for the kind of error that this HTTP status stands for.

    What is our fault is a ``server_error``, as in OpenAI's reference, whether it is a 500 or a 503.
    """
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def error_object(
    status: int,
    code: str,
    message: str,
    next_step: str = "",
    errors: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The value of ``error``. Its message ends with the way out, for clients show nothing else.

    ``param`` is the field of the first of `errors` (a list of problems with JSON pointers), written
    with points; null where no field is to blame.
    """
    pointer = str(errors[0].get("pointer") or "") if errors else ""
    return {
        "message": f"{message} {next_step}".strip(),
        "type": error_type(status),
        "param": pointer.strip("/").replace("/", ".") or None,
        "code": code,
    }


def error_of(error: AcademyError, status: int | None = None) -> dict[str, Any]:
    """The same for one of our own errors, with the status that is answered if it is another one."""
    errors = getattr(error, "errors", ())
    return error_object(status or error.status, error.code, str(error), error.next_step, errors)
