"""How one setting is declared, read from its variable's text and written back as text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from academy.errors import BadSetting

PREFIX = "ACADEMY_"

#: What a boolean may be written as, in any case.
BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}

#: The separator of a command: its words are split and quoted as a shell does it.
WORDS = " "


@dataclass(frozen=True)
class Rule:
    """What is true of one setting: its variable, its sentence and what it may be.

    `separator` is "" for a single value, else what stands between the elements of a tuple, each of
    which `element` makes from its text. With `any_case` a choice may be written in small letters
    too. `low` and `high` are inclusive. `also` are other names that
    the variable goes by; `variable` is the one that we hand to other processes.
    """

    variable: str
    default: Any
    doc: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    any_case: bool
    separator: str
    element: Callable[[str], Any]
    also: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of the variable."""
        return (self.variable, *self.also)

    @property
    def key(self) -> str:
        """The setting's name among all: ``lease_seconds`` for ``ACADEMY_LEASE_SECONDS``."""
        return self.variable.removeprefix(PREFIX).lower()

    def read_from(self, environ: Mapping[str, str]) -> Any:
        """The value that the variable has there; None where it is unset or empty.

        Raises `BadSetting` for a bad value, and for two names of it that contradict each other.
        """
        given = [name for name in self.names if environ.get(name, "") != ""]
        values = [self.read(name, environ[name]) for name in given]
        for name, value in zip(given, values, strict=True):
            if value != values[0]:
                allowed = f"{environ[given[0]]!r} as {given[0]} says, which means the same setting"
                raise BadSetting(name=name, value=environ[name], allowed=allowed)
        return values[0] if values else None

    def read(self, variable: str, text: str) -> Any:
        """The value that `text` means. Raises `BadSetting`, which names `variable`."""
        if self.separator:
            return self._read_all(variable, text)
        if isinstance(self.default, bool):
            return self._read_boolean(variable, text)
        return self._within(variable, text, self._read_one(variable, text))

    def write(self, value: Any) -> str:
        """The text that `read` turns into `value` again."""
        if self.separator == WORDS:
            return shlex.join(value)
        if self.separator:
            # An empty variable means the default, a lone separator the empty list.
            return self.separator.join(map(str, value)) or (self.separator if self.default else "")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _read_all(self, variable: str, text: str) -> tuple[Any, ...]:
        if self.separator == WORDS:
            try:
                words = shlex.split(text)
            except ValueError:
                words = []
            if not words:
                raise BadSetting(
                    name=variable, value=text, allowed="a command, quoted as in a shell"
                )
            return tuple(words)
        parts = [each.strip() for each in text.split(self.separator)]
        for each in parts:
            if each and self.choices and (each not in self.choices or parts.count(each) > 1):
                allowed = f"{' or '.join(self.choices)}, or several, separated by "
                raise BadSetting(name=variable, value=text, allowed=allowed + repr(self.separator))
        return tuple(self.element(each) for each in parts if each)

    def _read_boolean(self, variable: str, text: str) -> bool:
        value = BOOLEANS.get(text.strip().lower())
        if value is None:
            raise BadSetting(name=variable, value=text, allowed=" or ".join(BOOLEANS))
        return value

    def _read_one(self, variable: str, text: str) -> Any:
        kind: type[str | int | float | Path] = type(self.default)
        text = text.upper() if self.any_case and text.upper() in self.choices else text
        try:
            value = kind(text)
        except ValueError:
            noun = {int: "a whole number", float: "a number"}.get(kind, kind.__name__)
            raise BadSetting(name=variable, value=text, allowed=noun) from None
        if self.choices and text not in self.choices:
            raise BadSetting(name=variable, value=text, allowed=" or ".join(self.choices))
        return value.expanduser().absolute() if isinstance(value, Path) else value

    def _within(self, variable: str, text: str, value: Any) -> Any:
        if isinstance(value, int | float):
            if not math.isfinite(value) or (self.low is not None and value < self.low):
                allowed = f"a number of at least {self.low}"
                raise BadSetting(name=variable, value=text, allowed=allowed)
            if self.high is not None and value > self.high:
                allowed = f"a number of at most {self.high}"
                raise BadSetting(name=variable, value=text, allowed=allowed)
        return value


def setting(
    variable: str,
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    any_case: bool = False,
    separator: str = "",
    element: Callable[[str], Any] = str,
    also: tuple[str, ...] = (),
) -> Any:
    """A field of a group of settings: its variable, default, sentence and rule (see `Rule`)."""
    rule = Rule(variable, default, doc, low, high, choices, any_case, separator, element, also)
    return field(default=default, metadata={"rule": rule})


def group(kind: type) -> Any:
    """A field of `Settings` that is a group of settings."""
    return field(default=kind())


def folder(text: str) -> Path:
    """An element of a list of folders."""
    return Path(text).expanduser().absolute()
