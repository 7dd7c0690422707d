"""What the text of a setting has to look like where its kind alone does not say it.

A form answers with what is allowed where a text does not have it, and with "" where it does.
"""

from __future__ import annotations

import ipaddress
import re

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")  # "_" too: Compose names its hosts so
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
#: User and password, host and port, as SQLAlchemy divides them, who leaves it at a bare error.
_SERVER = re.compile(
    r"(?:[^:/]*(?::[^@]*)?@)?(?:\[[0-9A-Fa-f:.]+\]|[^/:?@\[\]]*)(?::(?P<port>[0-9]{1,5}))?(?:[/?]|\Z)"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_DATABASES = ("postgresql", "postgres", "postgresql+psycopg")


def known_host(text: str) -> str | None:
    """One spelling for all spellings of a host (an IP address, or a name as RFC 1123 has it).

    None for what is no host, such as ``256.1.1.1``.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        return str(getattr(address, "ipv4_mapped", None) or address)
    name = text.removesuffix(".").lower()
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(each) for each in labels):
        return None
    # A name that ends in a number is read as an IPv4 address everywhere, and this is none.
    return None if _NUMBER.fullmatch(labels[-1]) else name


def shown_address(text: str) -> str:
    """An address without what may be secret in it: user, password, query and fragment.

    A password may contain any separator, so all up to the last "@" goes, parsed or not.
    """
    scheme, separator, rest = text.partition("://")
    if "@" in text:
        front = f"{scheme}{separator}" if separator and _SCHEME.fullmatch(scheme) else ""
        text = f"{front}{(rest or text).rpartition('@')[2]}"
    return re.split("[?#]", text, maxsplit=1)[0]


def host(text: str) -> str:
    """An address to listen on."""
    return "" if known_host(text) else "an IP address or the name of a host, without a port"


def ip_address(text: str) -> str:
    """An IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "an IP address"
    return ""


def database(text: str) -> str:
    """An address of PostgreSQL."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _DATABASES:
        return "a postgresql:// address"
    found = _SERVER.match(rest)
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        return (
            "a postgresql:// address whose host and port can be read; an @ in a password is "
            "written as %40"
        )
    return ""


def mount(text: str) -> str:
    """A folder of the host and its place in a container; whether it is there, a training asks."""
    parts = text.split(":")
    plain = len(parts) == 2 and all(each.startswith("/") for each in parts)
    return "" if plain else "/of/the/host:/in/the/container, or several, separated by ','"


def numeric_user(text: str) -> str:
    """The user and the group of a container's processes."""
    return "" if re.fullmatch(r"[0-9]{1,10}:[0-9]{1,10}", text) else "uid:gid, both as numbers"
