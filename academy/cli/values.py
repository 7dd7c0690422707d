"""Values that are typed as NAME=VALUE: JSON where they are JSON, as strict as the API's, else text.

What Python's reader lets pass and the API refuses, or what it silently drops, is refused by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from academy.errors import AcademyError, shortened
from academy.wire.json_rules import repeated_name
from academy.wire.sending import require_sendable

#: Characters of a value that an error repeats.
_MOST_SHOWN = 200


class BadPair(AcademyError):
    """{text!r} is not of the form NAME=VALUE."""

    code = "bad_option"
    next_step = "Write --set max_steps=100 or, for text, --set name=coder."


class BadValue(AcademyError):
    """{name} is {text!r}, which is no value: {why}."""

    code = "bad_option"
    next_step = "Write a value that JSON has or, for a text that looks like JSON, NAME='\"TEXT\"'."


class GivenTwice(AcademyError):
    """{name} is given more than once."""

    code = "bad_option"
    next_step = "Give each name once, by an option of its own or by --set."


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """The fields of some NAME=VALUE. Raises `BadPair`, `BadValue`, `GivenTwice` or `Unsendable`."""
    found: dict[str, Any] = {}
    for text in pairs:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise BadPair(text=shortened(text, _MOST_SHOWN))
        if name in found:
            raise GivenTwice(name=name)
        found[name] = read_value(name, value)
    return found


def read_value(name: str, text: str) -> Any:
    """The JSON value, or the text where it is no JSON. Raises `BadValue` or `Unsendable`."""
    try:
        value = strict_json(text)
    except json.JSONDecodeError:
        value = text
    except ValueError as error:
        raise BadValue(name=name, text=shortened(text, _MOST_SHOWN), why=str(error)) from None
    require_sendable({name: value}, "")
    return value


def strict_json(text: str) -> Any:
    """JSON as the API reads it. Raises ValueError, for what is no JSON at all JSONDecodeError.

    No NaN, no infinite number, no name twice in an object.
    """
    # Faults are kept until the end is reached: "NaNs" and "1e400 of them" are no JSON but texts.
    faults: list[str] = []

    def constant(name: str) -> None:
        faults.append(f"JSON has no {name}")

    def real(text: str) -> float:
        if not math.isfinite(value := float(text)):
            faults.append("the number is too large")
        return value

    def whole(text: str) -> int:
        try:
            return int(text)
        except ValueError:  # Python limits the digits, so that nobody makes it compute for minutes
            faults.append("the number has too many digits")
            return 0

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if (twice := repeated_name(pairs)) is not None:
            faults.append(f"the name {twice!r} is there twice in one object")
        return dict(pairs)

    try:
        value = json.loads(
            text,
            parse_constant=constant,
            parse_float=real,
            parse_int=whole,
            object_pairs_hook=unique,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if faults:
        raise ValueError(faults[0])
    return value
