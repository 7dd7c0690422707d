"""What can go wrong between a request and a model. Standard library only."""

from __future__ import annotations

from typing import Any

from academy.errors import AcademyError


class AdapterNotLoaded(AcademyError):
    """No model {name!r} is loaded here; there is {known}."""

    code = "adapter_not_loaded"
    status = 404
    next_step = "Load the adapter with POST /v1/load_lora_adapter, or name one that is loaded."


class AdapterConflict(AcademyError):
    """The name {name!r} already belongs to {loaded}; {wanted} was asked for."""

    code = "adapter_conflict"
    status = 409
    next_step = "Load every version under a name of its own, or unload the old one first."


class AdapterUnfit(AcademyError):
    """The adapter in {path} does not fit the base model {base!r}: {why}."""

    code = "adapter_unfit"
    status = 422
    next_step = "Load an adapter that was trained on this base model, or serve its own base model."


class TooManyAdapters(AcademyError):
    """{loaded} adapters are loaded, which is the limit."""

    code = "too_many_adapters"
    status = 409
    next_step = "Unload an adapter that nobody uses, or start the server with --max-adapters."


class Busy(AcademyError):
    """The model server is busy: {why}."""

    code = "busy"
    status = 503
    next_step = "Wait as long as the Retry-After header says, then send the request again."

    def __init__(self, *, why: str, retry_after_seconds: int = 1) -> None:
        super().__init__(why=why)
        self.retry_after_seconds = retry_after_seconds
        self.fields = {"why": why, "retry_after_seconds": retry_after_seconds}


class TimedOut(AcademyError):
    """The request was not answered within {seconds:g} s."""

    code = "timeout"
    status = 504
    next_step = "Ask for fewer tokens, or start the server with a longer --request-seconds."


class ModelFailed(AcademyError):
    """The model could not compute this answer: {why}."""

    code = "model_failed"
    status = 500
    next_step = "Send the request again; if it fails again, look into the model server's log."


class ModelUnloadable(AcademyError):
    """The base model in {path} cannot be served: {why}."""

    code = "model_unloadable"
    status = 500
    next_step = "Name a folder with a transformers model, its weights and its tokenizer."


class RuntimeRefused(AcademyError):
    """The model server refused: {detail}"""

    code = "runtime_refused"
    status = 502
    next_step = "Read what the model server says and change the request."

    def __init__(self, *, detail: str, remote_code: str, remote_status: int) -> None:
        super().__init__(detail=detail)
        self.remote_code = remote_code
        self.remote_status = remote_status
        self.fields = {
            "detail": detail,
            "remote_code": remote_code,
            "remote_status": remote_status,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return (_refused, (self.fields,))


def _refused(fields: dict[str, Any]) -> RuntimeRefused:
    return RuntimeRefused(**fields)
