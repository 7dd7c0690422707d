"""The HTTP face of an engine. Its addresses are vLLM's, so that one client speaks to both."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from academy.errors import MOST_SENT_CHARACTERS, AcademyError, shortened
from academy.runtime.adapters_view import adapters
from academy.runtime.answers import problem
from academy.runtime.completions import ADAPTER_HEADER, completions
from academy.runtime.connection import limit_patience
from academy.runtime.errors import Busy
from academy.runtime.inference_engine import InferenceEngine, State

log = logging.getLogger(__name__)

_LARGEST_BODY_BYTES = 8 << 20
#: A client that takes no byte for so long has gone, even if it never closed its connection.
_PATIENCE_SECONDS = 60.0


class HttpProblem(AcademyError):
    """{method} {path} cannot be answered: {why}."""

    code = "invalid_request"
    status = 400
    next_step = "Send one of the requests that docs/runtime.md describes."


def create_server(engine: InferenceEngine, adapter_roots: Sequence[Path] = ()) -> Flask:
    """The WSGI application for `engine`, which somebody else starts and closes.

    Adapters are loaded from below `adapter_roots` only, or from anywhere if there are none.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY_BYTES
    app.register_blueprint(completions(engine))
    app.register_blueprint(
        adapters(engine, [root.resolve() for root in adapter_roots], int(time.time()))
    )

    @app.get("/health")
    def health() -> tuple[Response, int]:
        body = {
            "state": str(engine.state),
            "model": engine.name,
            "detail": engine.failure,
            **engine.counts(),
        }
        return jsonify(body), 200 if engine.state is State.READY else 503

    @app.before_request
    def before() -> None:
        limit_patience(request.environ, _PATIENCE_SECONDS)

    app.register_error_handler(AcademyError, _refuse)
    app.register_error_handler(HTTPException, _refuse_http)
    app.register_error_handler(Exception, _refuse_unknown)
    return app


def _refuse(error: AcademyError, status: int | None = None) -> Response:
    response = jsonify(problem(error, status))
    response.status_code = status or error.status
    if isinstance(error, Busy):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def _refuse_http(error: HTTPException) -> Response:
    why = error.name.lower()
    path = shortened(request.path, MOST_SENT_CHARACTERS)
    refused = HttpProblem(method=request.method, path=path, why=why)
    return _refuse(refused, error.code or 500)


def _refuse_unknown(error: Exception) -> Response:
    log.error("A request failed.", exc_info=error, extra={"path": request.path})
    return _refuse(AcademyError(detail="an unexpected error, which the server's log explains"))


__all__ = ["ADAPTER_HEADER", "create_server"]
