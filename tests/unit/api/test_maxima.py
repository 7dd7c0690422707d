"""Every text and every list that a request may hold has a maximum."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from academy.api.app import routes

#: Formats whose reader bounds them.
_BOUND_FORMATS = {"date-time", "uuid"}
#: A pattern that bounds a text: anchored, and without a part that repeats for ever.
_BOUNDED = re.compile(r"\^(?:[^*+{]|\{\d+(?:,\d+)?\})*\$")


def unbounded(
    schema: Any, where: str, schemas: dict[str, Any], seen: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Places below a schema that take a text, a list or names without an end."""
    if reference := schema.get("$ref"):
        if reference in seen:
            return
        seen |= {reference}
        schema = schemas[reference.rpartition("/")[2]]
    for word in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(word, ()):
            yield from unbounded(each, where, schemas, seen)
    kind = schema.get("type")
    is_chosen = bool(schema.keys() & {"enum", "const", "maxLength"})
    is_short = schema.get("format") in _BOUND_FORMATS or _BOUNDED.fullmatch(
        schema.get("pattern", "")
    )
    if kind == "string" and not is_chosen and not is_short:
        yield f"{where}: a text"
    if kind == "array":
        if "maxItems" not in schema:
            yield f"{where}: a list"
        for each in (schema.get("items") or {}, *schema.get("prefixItems", ())):
            yield from unbounded(each, f"{where}[]", schemas, seen)
    if kind == "object":
        named = schema.get("properties", {})
        for name, each in named.items():
            yield from unbounded(each, f"{where}.{name}", schemas, seen)
        others = schema.get("additionalProperties")
        if not named and "maxProperties" not in schema:
            yield f"{where}: an object"
        if isinstance(others, dict):
            yield from unbounded(others, f"{where}.*", schemas, seen)


#: Read by the model server, which has limits of its own; the gateway only passes them on.
_OF_THE_MODEL_SERVER = {"post /v1/chat/completions .messages[]: an object"}


def test_every_part_of_a_json_body_has_a_maximum() -> None:
    app = routes()
    with app.app_context():
        document = app.spec
    schemas = document["components"]["schemas"]
    looked_at, found = 0, set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}) if isinstance(operation, dict) else {}
            content = body.get("content", {}).get("application/json")
            if content is not None:
                looked_at += 1
                found |= set(unbounded(content["schema"], f"{method} {path} ", schemas))
    assert looked_at > 12
    assert found == _OF_THE_MODEL_SERVER
