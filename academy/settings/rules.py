"""How one setting is declared, read from its variable's text and written back as text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from academy.errors import BadSetting
from academy.settings.forms import shown_address

PREFIX = "ACADEMY_"

_FOLDERS = "a folder; a ~USER in front has to be a user of this machine"

#: What a boolean may be written as, in any case.
BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}

#: The separator of a command: its words are split and quoted as a shell does it.
WORDS = " "

#: What a number is at most where its setting does not say: more fits into no column and no clock.
MOST = {int: 2**63 - 1, float: 1e9}


@dataclass(frozen=True)
class Rule:
    """What is true of one setting: its variable, its sentence and what it may be.

    `separator` is "" for a single value, else what stands between the elements of a tuple, each of
    which `element` makes from its text. With `any_case` a choice may be written in small letters
    too. `low` and `high` are inclusive. `form` is one of `academy.settings.forms`, for each
    element. `also` are other names that the variable goes by; `variable` is the one that we hand to
    other processes.
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
    form: Callable[[str], str]
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
        if text.isspace():
            allowed = "more than white space, or empty for the default"
            raise BadSetting(name=variable, value=text, allowed=allowed)
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
            if not words or not words[0].strip():
                raise BadSetting(
                    name=variable, value=text, allowed="a command, quoted as in a shell"
                )
            return tuple(words)
        if text.isspace():
            allowed = f"more than white space; {self.separator!r} alone is an empty list"
            raise BadSetting(name=variable, value=text, allowed=allowed)
        parts = [each.strip() for each in text.split(self.separator)]
        for each in parts:
            if each and self.choices and (each not in self.choices or parts.count(each) > 1):
                allowed = f"{' or '.join(self.choices)}, or several, separated by "
                raise BadSetting(name=variable, value=text, allowed=allowed + repr(self.separator))
        for each in filter(None, parts):
            self._require_form(variable, each)
        try:
            return tuple(self.element(each) for each in parts if each)
        except RuntimeError:  # says pathlib of a "~user" that it does not know
            raise BadSetting(name=variable, value=text, allowed=_FOLDERS) from None

    def _read_boolean(self, variable: str, text: str) -> bool:
        value = BOOLEANS.get(text.strip().lower())
        if value is None:
            raise BadSetting(name=variable, value=text, allowed=" or ".join(BOOLEANS))
        return value

    def _read_one(self, variable: str, text: str) -> Any:
        kind: type[str | int | float | Path] = type(self.default)
        text = text.upper() if self.any_case and text.upper() in self.choices else text
        noun = {int: "a whole number", float: "a number"}.get(kind)
        # Python also takes 8_0 and the digits of every script, which nobody means here.
        if noun and (not text.isascii() or "_" in text):
            raise BadSetting(name=variable, value=text, allowed=noun)
        try:
            value = kind(text)
            if isinstance(value, Path):
                value = value.expanduser().absolute()
        except ValueError:
            raise BadSetting(name=variable, value=text, allowed=noun or kind.__name__) from None
        except RuntimeError:  # says pathlib of a "~user" that it does not know
            raise BadSetting(name=variable, value=text, allowed=_FOLDERS) from None
        self._require_form(variable, text)
        if self.choices and text not in self.choices:
            raise BadSetting(name=variable, value=text, allowed=" or ".join(self.choices))
        return value

    def _require_form(self, variable: str, text: str) -> None:
        if allowed := self.form(text):
            raise BadSetting(name=variable, value=shown_address(text), allowed=allowed)

    def _within(self, variable: str, text: str, value: Any) -> Any:
        if isinstance(value, int | float):
            # A whole number may be too large for isfinite(), which makes a float of it.
            if (isinstance(value, float) and not math.isfinite(value)) or (
                self.low is not None and value < self.low
            ):
                allowed = f"a number of at least {self.low}"
                raise BadSetting(name=variable, value=text, allowed=allowed)
            high = MOST[type(value)] if self.high is None else self.high
            if value > high:
                allowed = f"a number of at most {high}"
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
    form: Callable[[str], str] = lambda text: "",
    also: tuple[str, ...] = (),
) -> Any:
    """A field of a group of settings: its variable, default, sentence and rule (see `Rule`)."""
    rule = Rule(
        variable, default, doc, low, high, choices, any_case, separator, element, form, also
    )
    return field(default=default, metadata={"rule": rule})


def group(kind: type) -> Any:
    """A field of `Settings` that is a group of settings."""
    return field(default=kind())


def folder(text: str) -> Path:
    """An element of a list of folders."""
    return Path(text).expanduser().absolute()
