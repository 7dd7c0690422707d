"""The page's texts in each language, and which language a browser gets.

The scripts read the same files; they lie with the static ones.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from flask import Request

#: The languages by their own names; the first one is for browsers that ask for none of them.
LANGUAGES = {"en": "English", "pl": "Polski", "de": "Deutsch"}
COOKIE = "academy_language"
_FOLDER = Path(__file__).parent / "static" / "texts"


@cache
def texts(language: str) -> dict[str, Any]:
    """All texts of a language by their keys.

    One that counts something is a dictionary of its plural forms by CLDR's names ("one", "few",
    "many", "other"); the page's scripts choose among them, and no template has such a text.
    """
    return _read(_FOLDER / f"{language}.json")


@cache
def failures(language: str) -> dict[str, str]:
    """What each code of a failure or refusal means, by ``failure.CODE``."""
    return _read(_FOLDER / "failures" / f"{language}.json")


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def language_of(request: Request) -> str:
    """The language that was chosen on the page, or that the browser prefers."""
    chosen = request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(list(LANGUAGES)) or next(iter(LANGUAGES))
