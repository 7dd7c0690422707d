"""What a client may put into a request: ids in paths, texts and numbers in bodies, keys, addresses.

The HTTP library and the servers on the way read some of them as something else: ``..`` in a path as
another path, a line break in a header as the next header. What cannot mean what its user meant is
refused here, by name, before anything is sent.
"""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote

import httpx

from academy.errors import AcademyError, NotFound, shortened
from academy.wire.json_rules import DEEPEST, is_whole

#: No id or name in Academy comes near it; longer ones are some other text.
_LONGEST_ID = 300


class BadAddress(AcademyError):
    """{name} is {shown!r}, which is no address of an API: {why}."""

    code = "bad_setting"
    next_step = "Write it like http://127.0.0.1:8000, without a user, a password or a query."


class BadProxy(AcademyError):
    """The address of a proxy cannot be used: {why}."""

    code = "bad_setting"
    next_step = "Correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or name the API's host in NO_PROXY."


class BadKey(AcademyError):
    """The API key of {name} cannot be sent: {why}."""

    code = "bad_setting"
    next_step = "Put the key there as it was shown when it was made: one line without white space."


class Unsendable(AcademyError):
    """{what} cannot be sent: {why}."""

    code = "bad_option"
    next_step = "Correct it and try again; nothing was sent."


def quoted(noun: str, id: str) -> str:
    """A user's id or name as one part of a path.

    Raises `NotFound`, without asking, for what no path can have as one part: nothing at all, dots
    and slashes (which clients and proxies resolve, quoted or not), control characters and bytes
    that are no text.
    """
    is_part = 0 < len(id) <= _LONGEST_ID and id not in {".", ".."}
    is_plain = is_whole(id) and not any(each < " " or each in "/\x7f" for each in id)
    if not (is_part and is_plain):
        raise NotFound(noun=noun, id=shortened(id, _LONGEST_ID))
    return quote(id, safe="")


def require_key(key: str, name: str) -> str:
    """The key, if a header can carry it. Raises `BadKey`, which tells `name` and not the key."""
    if not key:
        raise BadKey(name=name, why="it is empty")
    for number, each in enumerate(key, start=1):
        if each.isspace():
            raise BadKey(name=name, why=f"character {number} is white space or a line break")
        if not (each.isascii() and each.isprintable()):
            raise BadKey(name=name, why=f"character {number} is no printable ASCII character")
    return key


def require_address(url: str, name: str) -> str:
    """The address, if a client can use it, without slashes at its end.

    Raises `BadAddress`, which tells `name`, and what was given without a password.
    """
    why = _fault_of_address(url)
    if why:
        raise BadAddress(name=name, shown=without_password(url), why=why)
    return url.rstrip("/")


def without_password(url: str) -> str:
    """The address with ``***`` for what stands before an ``@``, also where it is no address."""
    before, at, rest = url.rpartition("@")
    scheme, separator, _ = before.partition("://")
    return f"{scheme}{separator}***@{rest}" if at and separator else f"***@{rest}" if at else rest


def require_sendable(value: Any, what: str, depth: int = 0) -> None:
    """Raise `Unsendable` for a number or a text in `value` that JSON in UTF-8 cannot carry.

    `what` names the value in the error; what lies within is named by its way there.
    """
    if depth > DEEPEST:
        raise Unsendable(what=what.partition(",")[0], why="it is nested too deeply")
    if isinstance(value, float) and not math.isfinite(value):
        raise Unsendable(what=what, why=f"JSON has no number {value}")
    if isinstance(value, str) and not is_whole(value):
        raise Unsendable(what=what, why="it is not valid UTF-8")
    if isinstance(value, dict):
        for name, each in value.items():
            if not is_whole(str(name)):
                raise Unsendable(what=f"The name {name!r} in {what}", why="it is not valid UTF-8")
            require_sendable(each, f"{what}, {name}" if what else str(name), depth + 1)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            require_sendable(each, f"{what}, {index}" if what else str(index), depth + 1)


def _fault_of_address(url: str) -> str:
    """What is wrong with it, in words; empty if nothing is."""
    if not url.strip():
        return "it is blank"
    if not url.isprintable() or " " in url:
        return "it has white space or characters that cannot be printed"
    try:
        found = httpx.URL(url)
        # What looks up the host encodes it so, and its own error would not say whose host it is.
        found.raw_host.decode("ascii").encode("idna")
    except httpx.InvalidURL as error:
        # The library's words are kept only where they cannot repeat a password.
        return "it cannot be read" if "@" in url else str(error)
    except UnicodeError:
        return "a part of the host's name is empty or too long"
    if found.scheme not in {"http", "https"}:
        return "it does not begin with http:// or https://"
    if not found.host:
        return "it names no host"
    if found.port is not None and not 1 <= found.port <= 65535:
        return "its port is none of 1 to 65535"
    if found.userinfo or found.query or found.fragment:
        # A user in the address would take the place of the key in the header.
        return "it has a user, a query or a fragment"
    return ""
