"""Reading what is asked for into a model, and saying exactly what is wrong with it.

Whoever asks is read alike: a client over HTTP, a schedule that is due, a trial of a sweep.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from academy.errors import InvalidRequest, shortened
from academy.validation.field_words import describe_field

Model = TypeVar("Model", bound=BaseModel)

#: A report names at most this many errors, each in at most this many characters.
MOST_ERRORS, MOST_CHARACTERS = 100, 500
#: What is shown of a name and of a value.
_NAME_CHARACTERS, _VALUE_CHARACTERS = 80, 78


def read(body: dict[str, Any], model: type[Model], *, below: str = "", where: str = "") -> Model:
    """A JSON object as `model`, as strictly as its own endpoint reads it.

    Raises `InvalidRequest`. `below` is the JSON pointer at which the object lies in what was sent,
    and `where` says so in words before the first error.
    """
    try:
        return validate(json.dumps(body).encode(), body, model)
    except InvalidRequest as error:
        if not where:
            raise
        inside = [each | {"pointer": f"{below}{each['pointer']}"} for each in error.errors]
        raise InvalidRequest(detail=f"{where}: {error}", errors=inside) from None


def validate(raw: bytes, parsed: Any, model: type[Model]) -> Model:
    """JSON text, and the Python objects that it stands for, as `model`. Raises `InvalidRequest`.

    pydantic reads the text itself because only in JSON does strictness let an array be a tuple.
    A whole number may be written ``16.0``, as JSON Schema and JavaScript make no difference.
    """
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False)
    whole = _with_whole_numbers(found, parsed)
    if whole is not None:
        return validate(json.dumps(whole).encode(), whole, model)
    _refuse(found, parsed, model)


def _with_whole_numbers(errors: Sequence[ErrorDetails], parsed: Any) -> Any:
    """A copy with 16 for ``16.0`` where pydantic wanted a whole number; None if it has none."""
    wanted = [each for each in errors if _is_whole(each)]
    if not wanted:
        return None
    copied, found = copy.deepcopy(parsed), False
    for each in wanted:
        value = each["input"]
        location = _location(each["loc"], copied, is_missing=False)
        inside = copied
        for part in location[:-1]:
            inside = inside[part]
        if location and isinstance(inside[location[-1]], float):
            inside[location[-1]] = int(value)
            found = True
    return copied if found else None


def _is_whole(error: ErrorDetails) -> bool:
    value = error["input"]
    return error["type"] == "int_type" and isinstance(value, float) and value.is_integer()


def refuse(
    error: ValidationError, given: Any, model: type[BaseModel], noun: str = "field"
) -> NoReturn:
    """Raise `InvalidRequest` for what pydantic found in `given`."""
    _refuse(error.errors(include_url=False), given, model, noun)


def _refuse(
    found: Sequence[ErrorDetails], given: Any, model: type[BaseModel], noun: str = "field"
) -> NoReturn:
    errors = _for_people(found, given, model, noun)
    first = errors[0]["detail"].rstrip(".")
    more = f" ({len(errors) - 1} more in errors)" if len(errors) > 1 else ""
    end = "" if first.endswith("?") and not more else "."
    raise InvalidRequest(detail=f"{first}{more}{end}", errors=errors) from None


def errors_of(
    error: ValidationError, given: Any, model: type[BaseModel], noun: str = "field"
) -> list[dict[str, Any]]:
    """What pydantic found in `given`, for people: pointer, what was wrong, what is allowed."""
    return _for_people(error.errors(include_url=False), given, model, noun)


def _for_people(
    errors: Sequence[ErrorDetails], given: Any, model: type[BaseModel], noun: str
) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for each in errors[:MOST_ERRORS]:
        location = _location(each["loc"], given, is_missing=each["type"] == "missing")
        pointer = pointer_of(location)
        if pointer not in found:
            found[pointer] = _one_error(each, location, model, noun) | {"pointer": pointer}
        elif location and (allowed := found[pointer]["allowed"]):
            # Each member of a union says what it alone would have taken.
            found[pointer]["detail"] = f"{_is_value(each, location)}: it may be {allowed}."
    return list(found.values())


def pointer_of(location: tuple[int | str, ...]) -> str:
    """A JSON pointer (RFC 6901), with a question mark for half of a character."""
    whole = (str(part).encode("utf-8", "replace").decode() for part in location)
    names = (shortened(each, _NAME_CHARACTERS) for each in whole)
    return "".join(f"/{name.replace('~', '~0').replace('/', '~1')}" for name in names)


def _one_error(
    each: Any, location: tuple[int | str, ...], model: type[BaseModel], noun: str
) -> dict[str, Any]:
    name = shortened(str(location[-1]), _NAME_CHARACTERS) if location else ""
    if each["type"] == "extra_forbidden":
        known = sorted(_names(model)) if len(location) == 1 else []
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return {
            "detail": f"There is no {noun} {name!r}{hint}",
            "allowed": ", ".join(known) or "only documented fields",
        }
    if each["type"] == "missing":
        return {
            "detail": f"The {noun} {name!r} is missing.",
            "allowed": describe_field(model, location) or "a value",
        }
    allowed = describe_field(model, location)
    message = shortened(str(each["msg"]).removeprefix("Value error, "), MOST_CHARACTERS)
    if not location:
        return {"detail": message, "allowed": allowed or "a JSON object"}
    return {
        "detail": f"{_is_value(each, location)}: {message[:1].lower()}{message[1:]}.",
        "allowed": allowed or message,
    }


def _is_value(each: Any, location: tuple[int | str, ...]) -> str:
    path = ".".join(shortened(str(part), _NAME_CHARACTERS) for part in location)
    return f"{path} is {_shown(each.get('input'))}"


def _location(
    location: tuple[int | str, ...], given: Any, *, is_missing: bool
) -> tuple[int | str, ...]:
    """The part of pydantic's location that is in the input.

    pydantic also names the members of a union that it tried; those are no fields.
    """
    path: list[int | str] = []
    for part in location:
        inside = (isinstance(given, dict) and part in given) or (
            isinstance(given, list) and isinstance(part, int) and part < len(given)
        )
        if inside:
            given = given[part]
            path.append(part)
        elif is_missing and part == location[-1]:
            path.append(part)
    return tuple(path)


def _names(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def _shown(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False, default=repr), _VALUE_CHARACTERS)
