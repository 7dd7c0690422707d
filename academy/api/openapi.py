"""The OpenAPI 3.1 document: what APIFlask generates from the views, made complete.

Each operation gets the role that its view declares, the problem answer, its operation id, and the
headers that all creating requests take.
"""

from __future__ import annotations

import re
from typing import Any

from apiflask import APIFlask

from academy.access.keys import Role
from academy.api.data.datasets_shapes import CurationStarted
from academy.api.data.lessons_shapes import LessonSent, TaskSent
from academy.api.data.runs_shapes import RunSent
from academy.web.file_bodies import FORM, RAW_TYPES
from academy.web.idempotency import HEADER
from academy.web.problems import MEDIA_TYPE

_DESCRIPTION = """\
Collect lessons, git history and conversations, curate them into a dataset, fine-tune an adapter,
and swap it into the running model. Send `Authorization: Bearer KEY`. Every error is
`application/problem+json`."""

_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457, with OpenAI's `error` beside it.",
    "required": ["type", "title", "status", "detail", "code", "request_id", "errors", "error"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "next_step": {"type": "string"},
        "request_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "a JSON pointer"},
                    "line": {"type": "integer", "description": "from 1"},
                    "detail": {"type": "string"},
                    "allowed": {"type": "string"},
                },
            },
        },
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        },
    },
}

#: Endpoints that honour ``Idempotency-Key``.
_CREATING = {
    "lessons.record_lessons",
    "lessons.record_tasks",
    "runs.record_runs",
    "runs.add_signals",
    "curation.curate",
    "uploads.upload_dataset",
    "training.start_training",
    "jobs.submit_job",
    "sweeps.start_sweep",
    "keys.create_key",
    "schedules.create_schedule",
}
_WAIT = "'wait=N': how many seconds to wait, 0 to 60 (25 if left out)"
#: Other headers that a view reads.
_HEADERS = {
    "curation.curate": {"Prefer": _WAIT},
    "uploads.upload_dataset": {"Prefer": _WAIT},
    "logs.log_stream": {"Last-Event-ID": "the id of the last event seen"},
}
#: Bodies that a view reads itself, because they may be NDJSON.
_NDJSON_BODIES = {
    "lessons.record_lessons": LessonSent,
    "lessons.record_tasks": TaskSent,
    "runs.record_runs": RunSent,
}

#: A body that is a file, and the types that it may have.
_FILE_BODIES = {"uploads.upload_dataset": RAW_TYPES}

#: In the order of a job's life; several blueprints share a tag.
_TAGS = ["Status", "Lessons", "Datasets", "Training", "Logs", "Jobs", "Adapters", "OpenAI"]
_TAGS += ["Schedules", "Workers", "Access", "Probes"]

_METHODS = ("get", "post", "put", "patch", "delete")


def configure(app: APIFlask) -> None:
    """Set what the document says of the whole, and how it is completed."""
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        DESCRIPTION=_DESCRIPTION,
        # The document is made once, and whoever asks first must not put its Host into it.
        AUTO_SERVERS=False,
        AUTO_404_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
        SECURITY_SCHEMES={
            "key": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "ticket": {"type": "apiKey", "in": "query", "name": "ticket"},
        },
    )

    app.tags = list(_TAGS)

    @app.spec_processor
    def complete(document: dict[Any, Any] | str) -> dict[Any, Any] | str:
        return document if isinstance(document, str) else _complete(app, document)


def _complete(app: APIFlask, document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    for model in (*_NDJSON_BODIES.values(), CurationStarted):
        _add_model(schemas, model)
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:[^<:]+:)?([^>]+)>", r"{\1}", rule.rule)
        for method in _METHODS:
            operation = document["paths"].get(path, {}).get(method)
            if operation is not None and method.upper() in (rule.methods or ()):
                _complete_operation(app, rule.endpoint, operation)
                if rule.websocket:
                    _describe_websocket(operation)
    return document


def _complete_operation(app: APIFlask, endpoint: str, operation: dict[str, Any]) -> None:
    view = app.view_functions[endpoint]
    role: Role | None = getattr(view, "academy_role", None)
    operation["operationId"] = endpoint.rpartition(".")[2]
    operation["responses"]["default"] = {
        "description": "A problem",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if role is None:
        operation["security"] = []
    else:
        names = ["key", "header", *(["ticket"] if getattr(view, "academy_ticket", False) else [])]
        operation["security"] = [{name: []} for name in names]
        operation["x-academy-role"] = str(role)
    headers = {**_HEADERS.get(endpoint, {})}
    if endpoint in _CREATING:
        headers[HEADER] = "the same key and body give the first answer again, for 24 hours"
    for name, description in headers.items():
        operation["parameters"].append(
            {
                "name": name,
                "in": "header",
                "required": False,
                "description": description,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    if endpoint in _NDJSON_BODIES:
        schema = {"$ref": f"#/components/schemas/{_NDJSON_BODIES[endpoint].__name__}"}
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": schema},
                "application/x-ndjson": {"schema": schema},
            },
        }

    if endpoint in _FILE_BODIES:
        file = {"type": "string", "format": "binary"}
        form = {"type": "object", "required": ["file"], "properties": {"file": file}}
        content = {each: {"schema": file} for each in _FILE_BODIES[endpoint]}
        operation["requestBody"] = {
            "required": True,
            "content": {FORM: {"schema": form}, **content},
        }


def _describe_websocket(operation: dict[str, Any]) -> None:
    operation["responses"] = {
        "101": {"description": "A websocket; each text frame is a JSON array of events."},
        "default": operation["responses"]["default"],
    }
    operation["parameters"] += [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in ("after", "ticket")
    ]


def _add_model(schemas: dict[str, Any], model: Any) -> None:
    name = model.__name__
    schema = model.model_json_schema(ref_template=f"#/components/schemas/{name}.{{model}}")
    for nested, definition in schema.pop("$defs", {}).items():
        schemas[f"{name}.{nested}"] = definition
    schemas[name] = schema
