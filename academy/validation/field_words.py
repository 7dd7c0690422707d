"""What a field allows, in words, from the model's own JSON schema.

So the sentence in an error, the OpenAPI document and the check itself cannot drift apart.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel

_NOUNS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def describe_field(model: type[BaseModel], location: tuple[int | str, ...]) -> str | None:
    """What the field at `location` allows; None if the schema does not say."""
    root = _schema(model)
    found: dict[str, Any] | None = root
    for part in location:
        found = _member(root, found, part)
        if found is None:
            return None
    return describe(root, found) if location and found is not None else None


def describe(root: dict[str, Any], schema: dict[str, Any]) -> str:
    """A JSON schema as a phrase, such as ``a whole number from 1 to 512``."""
    schema = _resolved(root, schema)
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return " or ".join(repr(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(describe(root, each) for each in schema["anyOf"])
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        return _NOUNS[kind] + _range(schema)
    if kind == "string":
        return _NOUNS[kind] + _sized(schema, "Length", "characters")
    if kind == "array":
        of = f" of {describe(root, schema['items'])} each" if schema.get("items") else ""
        return _NOUNS[kind] + _sized(schema, "Items", "items") + of
    return _NOUNS.get(str(kind), "a value")


def _range(schema: dict[str, Any]) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    parts = [
        f"{words} {bound}"
        for words, bound in (
            ("at least", low),
            ("above", above),
            ("at most", high),
            ("below", below),
        )
        if bound is not None
    ]
    return " " + " and ".join(parts) if parts else ""


def _sized(schema: dict[str, Any], suffix: str, unit: str) -> str:
    low, high = schema.get(f"min{suffix}"), schema.get(f"max{suffix}")
    if low is not None and high is not None:
        return f" of {low} to {high} {unit}"
    if high is not None:
        return f" of at most {high} {unit}"
    return f" of at least {low} {unit}" if low is not None else ""


def _member(
    root: dict[str, Any], schema: dict[str, Any] | None, part: int | str
) -> dict[str, Any] | None:
    if schema is None:
        return None
    schema = _resolved(root, schema)
    for each in schema.get("anyOf", [schema]):
        each = _resolved(root, each)
        found = each.get("items") if isinstance(part, int) else each.get("properties", {}).get(part)
        if isinstance(found, dict):
            return found
    return None


def _resolved(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()
