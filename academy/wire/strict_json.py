"""JSON as Academy reads it from strangers: strict, in time that grows with its length alone.

There is no NaN, no infinity, no name twice in one object and no half of a character (a lone
surrogate), and nesting ends at `academy.wire.json_rules.DEEPEST`. Bodies of requests and the lines
of uploads are read by the same rules, and what is wrong is said by whoever reads.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any, NoReturn

from academy.errors import shortened
from academy.wire.json_rules import DEEPEST, is_whole, repeated_name

#: How much of a name or a number is repeated to whom it came from.
_SHOWN = 40


class JsonFault(Exception):
    """What is wrong with a text that should be JSON: `why`, in words that end no sentence.

    `kind` is ``encoding``, ``syntax``, ``size`` or ``text`` (a half character or a NUL); `line` and
    `column` count from 1 where they are known, and `location` leads to the value, for kind
    ``text``.
    """

    def __init__(
        self,
        kind: str,
        why: str,
        *,
        line: int | None = None,
        column: int | None = None,
        location: tuple[int | str, ...] = (),
    ) -> None:
        super().__init__(why)
        self.kind, self.why, self.line, self.column = kind, why, line, column
        self.location = location


def read_json(raw: bytes, *, nul: bool = False, most_values: int | None = None) -> Any:
    """The value that `raw` stands for. Raises `JsonFault`, of kind ``size`` where it holds more
    than `most_values` names and members.

    A NUL in a text, which PostgreSQL cannot store, is a fault unless `nul` says otherwise.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonFault("encoding", f"byte {error.start} is not UTF-8") from None
    try:
        found = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        why = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise JsonFault("syntax", why, line=error.lineno, column=error.colno) from None
    except RecursionError:
        raise JsonFault("syntax", f"it is nested more than {DEEPEST} deep") from None
    except ValueError:  # Python's limit on the digits of an integer; its text is for programmers
        digits = sys.get_int_max_str_digits()
        raise JsonFault("syntax", f"a whole number has more than {digits} digits") from None
    if text.count("[") + text.count("{") > DEEPEST and _depth(found) > DEEPEST:
        raise JsonFault("syntax", f"it is nested more than {DEEPEST} deep")
    # Each value but the first stands behind a comma or a bracket.
    if (
        most_values is not None
        and text.count(",") + text.count("[") + text.count("{") > most_values
    ):
        _require_few(found, most_values)
    if "\\u" in text:
        _require_whole(found, (), nul)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise JsonFault("syntax", f"it holds {name}, which JSON does not have")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JsonFault("syntax", f"the number {text[:_SHOWN]} is too large")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (twice := repeated_name(pairs)) is not None:
        raise JsonFault(
            "syntax", f"the name {shortened(twice, _SHOWN)!r} is there twice in one object"
        )
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


def _require_few(value: Any, most: int) -> None:
    waiting, count = [value], 0
    while waiting:
        each = waiting.pop()
        if not isinstance(each, dict | list):
            continue
        count += len(each)
        if count > most:
            raise JsonFault("size", f"it holds more than {most:,} values")
        waiting.extend(each.values() if isinstance(each, dict) else each)


def _require_whole(value: Any, location: tuple[int | str, ...], nul: bool) -> None:
    if isinstance(value, str):
        if not nul and "\x00" in value:
            raise JsonFault("text", "holds a NUL character", location=location)
        if not is_whole(value):
            raise JsonFault("text", "holds half a character", location=location)
    elif isinstance(value, dict):
        for name, each in value.items():
            _require_whole(name, (*location, name), nul)
            _require_whole(each, (*location, name), nul)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _require_whole(each, (*location, index), nul)
