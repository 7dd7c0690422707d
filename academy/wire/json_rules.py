"""What JSON may be between Academy and its clients, for those who read it and those who send it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

#: How deep arrays and objects may be nested; pydantic, which reads it after us, goes to 200.
DEEPEST = 100
#: How many values a body that is one JSON value may hold: names of objects and members of arrays.
MOST_VALUES = 10_000


def repeated_name(pairs: Sequence[tuple[str, Any]]) -> str | None:
    """The first name of an object that is there more than once; None if there is none such."""
    times = Counter(name for name, _ in pairs)
    return next((name for name in times if times[name] > 1), None)


def is_whole(text: str) -> bool:
    """Whether the text has no half of a character (a lone surrogate), so that UTF-8 can say it."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
