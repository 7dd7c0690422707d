"""The OpenAPI 3.1 document: what APIFlask generates from the views, made complete.

No endpoint is named here. What the document tells of a view, the view declares beside its route:
its role by `allows`, that it takes an ``Idempotency-Key`` by `creates`, and headers, bodies,
answers, problems and websockets by `academy.web.declarations`. Problems that follow from another
declaration (401 from a role, 404 from a part of the path, 422 from what is sent) are added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apiflask import APIFlask
from pydantic import BaseModel

from academy.access.keys import Role
from academy.web.declarations import Declaration, Shape, declaration_of
from academy.web.problems import MEDIA_TYPE, title_of

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

_METHODS = ("get", "post", "put", "patch", "delete")
#: What APIFlask says of a view without an ``output``; a declared answer takes its place.
_INVENTED: dict[str, Any] = {"application/json": {"schema": {}}}
_ANY_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


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

    @app.spec_processor
    def complete(document: dict[Any, Any] | str) -> dict[Any, Any] | str:
        return document if isinstance(document, str) else _complete(app, document)


def _complete(app: APIFlask, document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    # Several blueprints share a tag; their order is that of the blueprints.
    document["tags"] = list({each["name"]: each for each in document["tags"]}.values())
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:[^<:]+:)?([^>]+)>", r"{\1}", rule.rule)
        for method in _METHODS:
            operation = document["paths"].get(path, {}).get(method)
            if operation is not None and method.upper() in (rule.methods or ()):
                operation["operationId"] = rule.endpoint.rpartition(".")[2]
                _complete_operation(app.view_functions[rule.endpoint], operation, schemas)
    return document


def _complete_operation(view: Any, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    declared = declaration_of(view)
    if declared.body:
        content = _content(declared.body, schemas)
        operation["requestBody"] = {"required": True, "content": content}
    elif "requestBody" in operation:
        operation["requestBody"]["required"] = _wants_something(operation["requestBody"], schemas)
    for name, schema in declared.headers.items():
        operation["parameters"].append(_header(name, schema))
    for each in operation["parameters"]:
        if each["in"] == "path":
            each["schema"] = {
                "minLength": 1,
                **each["schema"],
                **declared.path.get(each["name"], {}),
            }
    if declared.websocket is not None:
        operation["responses"] = {"101": {"description": declared.websocket}}
        operation["parameters"] += _query_of(declared)
    _add_answers(declared, operation["responses"], schemas)
    _add_security(view, operation)
    for status in sorted(declared.problems | _implied_problems(operation)):
        problem = {"description": title_of(status), "content": _ANY_PROBLEM}
        operation["responses"].setdefault(str(status), problem)
    operation["responses"]["default"] = {"description": "A problem", "content": _ANY_PROBLEM}


def _add_security(view: Any, operation: dict[str, Any]) -> None:
    role: Role | None = getattr(view, "academy_role", None)
    if role is None:
        operation["security"] = []
    else:
        names = ["key", "header", *(["ticket"] if getattr(view, "academy_ticket", False) else [])]
        operation["security"] = [{name: []} for name in names]
        operation["x-academy-role"] = str(role)


def _add_answers(declared: Declaration, responses: dict[str, Any], schemas: dict[str, Any]) -> None:
    for each in declared.answers:
        status = str(each.status)
        if responses.get(status, {}).get("content") in (None, _INVENTED):
            responses[status] = {"description": each.description, "content": {}}
        responses[status]["content"] |= _content(each.content, schemas)


def _implied_problems(operation: dict[str, Any]) -> set[int]:
    found = set()
    if operation["security"]:
        found |= {401, 403}
    if any(each["in"] == "path" for each in operation["parameters"]):
        found.add(404)
    if any(each["in"] == "query" for each in operation["parameters"]) or any(
        "pattern" in each["schema"] for each in operation["parameters"]
    ):
        found.add(422)
    if "requestBody" in operation:
        found |= {400, 413, 415, 422}
    return found


def _wants_something(body: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Whether the empty object, which an empty body stands for, is refused."""
    schema = body["content"]["application/json"]["schema"]
    schema = schemas.get(str(schema.get("$ref")).rpartition("/")[2], schema)
    return any(schema.get(rule) for rule in ("required", "oneOf", "anyOf"))


def _header(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    told = dict(schema)
    meaning = told.pop("description")
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": meaning,
        "schema": told,
    }


def _query_of(declared: Declaration) -> list[dict[str, Any]]:
    """A websocket's query; APIFlask reads none, for the view itself has to refuse a bad one."""
    fields = {} if declared.query is None else declared.query.model_fields
    return [
        {
            "name": name,
            "in": "query",
            "required": each.is_required(),
            "schema": {"type": "string"},
            **({} if each.description is None else {"description": each.description}),
        }
        for name, each in fields.items()
    ]


def _content(content: Mapping[str, Shape], schemas: dict[str, Any]) -> dict[str, Any]:
    return {kind: {"schema": _schema(shape, schemas)} for kind, shape in content.items()}


def _schema(shape: Shape, schemas: dict[str, Any]) -> dict[str, Any]:
    if isinstance(shape, dict):
        return shape
    _add_model(schemas, shape)
    return {"$ref": f"#/components/schemas/{shape.__name__}"}


def _add_model(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    name = model.__name__
    schema = model.model_json_schema(ref_template=f"#/components/schemas/{name}.{{model}}")
    for nested, definition in schema.pop("$defs", {}).items():
        schemas[f"{name}.{nested}"] = definition
    schemas[name] = schema
