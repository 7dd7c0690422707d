"""Reading what clients send, strictly, and saying exactly what is wrong with it.

JSON here has no NaN, no infinity, no repeated names, no lone surrogates and no NUL (which
PostgreSQL cannot store). Numbers are not made from strings. Registering `StrictModels` makes
APIFlask's ``input`` decorator do all of this for every pydantic model.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

from apiflask.schema_adapters.pydantic import PydanticAdapter
from apiflask.schema_adapters.registry import registry
from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from academy.errors import AcademyError, InvalidRequest
from academy.validation.reading import pointer_of, refuse, validate
from academy.wire.json_rules import DEEPEST, is_whole, repeated_name

NDJSON_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
Model = TypeVar("Model", bound=BaseModel)


class NotJson(AcademyError):
    """The body is not JSON: {why}."""

    code = "not_json"
    status = 400
    next_step = "Send one JSON object in UTF-8 and 'Content-Type: application/json'."

    @property
    def errors(self) -> list[dict[str, Any]]:
        found: dict[str, Any] = {"pointer": "", "detail": self.fields["why"], "allowed": "JSON"}
        found |= {name: self.fields[name] for name in ("line", "column") if name in self.fields}
        return [found]


class WrongMediaType(AcademyError):
    """The body is declared as {given!r}, but this takes {allowed}."""

    code = "unsupported_media_type"
    status = 415
    next_step = "Set the Content-Type header to one of those."


class BodyIncomplete(AcademyError):
    """The body ended after {received} of {declared} bytes."""

    code = "body_incomplete"
    status = 400
    next_step = "Send the whole request again; nothing of it was done."


class StrictModels(PydanticAdapter):
    """APIFlask's adapter for pydantic models, with strict JSON and errors by JSON pointer."""

    def validate_input(self, request: Request, location: str, **kwargs: Any) -> BaseModel:
        if location == "json":
            return read_model(request, self.model_class)
        if location in {"query", "querystring"}:
            return read_query(request, self.model_class)
        return super().validate_input(request, location, **kwargs)


registry.register("pydantic", StrictModels)


def body_of(request: Request) -> bytes:
    """The whole body. Raises `BodyIncomplete`, or `RequestEntityTooLarge`.

    Werkzeug gives what it got where a connection broke off, and cuts a chunked body at the limit;
    half of a body may well be valid, so both are told apart from a whole one here.
    """
    raw = request.get_data(cache=True)
    declared, limit = request.content_length, request.max_content_length
    if declared is not None and len(raw) < declared:
        raise BodyIncomplete(received=len(raw), declared=declared)
    if declared is None and limit is not None and len(raw) >= limit:
        raise RequestEntityTooLarge
    return raw


def read_model(request: Request, model: type[Model]) -> Model:
    """The request's JSON body as `model`; an empty body is the empty object.

    Raises `WrongMediaType`, `NotJson` or `InvalidRequest`.
    """
    raw = body_of(request)
    if not raw.strip():
        raw = b"{}"
    else:
        require_media_type(request, "application/json")
    return validate(raw, parse(raw), model)


def read_query(request: Request, model: type[Model]) -> Model:
    """The request's query string as `model`; see `read_texts`."""
    return read_texts(request.args, model, "query parameter")


def read_texts(texts: MultiDict[str, str], model: type[Model], noun: str) -> Model:
    """Named texts as `model`; they become numbers where the model has them.

    Raises `InvalidRequest`, which calls them by `noun`.
    """
    repeated = [name for name, values in texts.lists() if len(values) > 1]
    if repeated:
        raise InvalidRequest(
            detail=f"The {noun} {repeated[0]!r} is there more than once.",
            errors=[{"pointer": f"/{repeated[0]}", "detail": "repeated", "allowed": "once"}],
        )
    given = texts.to_dict()
    try:
        return model.model_validate(given)
    except ValidationError as error:
        refuse(error, given, model, noun)


def require_media_type(request: Request, *allowed: str) -> None:
    """Raise `WrongMediaType` unless the body is declared as one of `allowed`."""
    given = request.mimetype
    if given in allowed or (given.endswith("+json") and "application/json" in allowed):
        return
    raise WrongMediaType(given=given or "nothing", allowed=" or ".join(allowed))


def parse(raw: bytes) -> Any:
    """Strict JSON. Raises `NotJson`, with the line and column where that is known."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(why=f"byte {error.start} is not UTF-8") from None
    try:
        found = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        raise NotJson(
            why=f"{error.msg} at line {error.lineno}, column {error.colno}",
            line=error.lineno,
            column=error.colno,
        ) from None
    except RecursionError:
        raise NotJson(why=f"it is nested more than {DEEPEST} deep") from None
    except ValueError:  # Python's limit on the digits of an integer; its text is for programmers
        digits = sys.get_int_max_str_digits()
        raise NotJson(why=f"a whole number has more than {digits} digits") from None
    if text.count("[") + text.count("{") > DEEPEST and _depth(found) > DEEPEST:
        raise NotJson(why=f"it is nested more than {DEEPEST} deep")
    if "\\u" in text:
        _require_storable(found)
    return found


def ndjson_lines(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers from 1."""
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if line.strip():
            yield number, line


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(why=f"it holds {name}, which JSON does not have")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotJson(why=f"the number {text[:40]} is too large")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (twice := repeated_name(pairs)) is not None:
        raise NotJson(why=f"the name {twice!r} is there twice in one object")
    return dict(pairs)


def _depth(value: Any) -> int:
    """How deep the arrays and objects are nested, as far as `DEEPEST` and one more."""
    depth, level = 0, [value]
    while depth <= DEEPEST and (level := [each for each in level if isinstance(each, dict | list)]):
        depth += 1
        level = [
            inner for each in level for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


def _require_storable(value: Any, location: tuple[int | str, ...] = ()) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise NotJson(why=f"the text at {pointer_of(location) or '/'} holds a NUL character")
        if not is_whole(value):
            raise NotJson(why=f"the text at {pointer_of(location) or '/'} holds half a character")
    elif isinstance(value, dict):
        for name, each in value.items():
            _require_storable(name, (*location, name))
            _require_storable(each, (*location, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _require_storable(each, (*location, index))
