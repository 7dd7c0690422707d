"""Which model servers there are: the one place that reads their addresses and makes their drivers.

An address is ``[KIND+]http[s]://HOST[:PORT]``, and a plain path where a proxy has one; without a
kind it is that of Academy's own server. A new kind of server is a driver in
`academy.serving.drivers` and one line in `KINDS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from academy.errors import BadSetting
from academy.serving.drivers.embedded import EmbeddedDriver
from academy.serving.drivers.interface import RuntimeDriver, RuntimeHealth
from academy.serving.drivers.vllm import VllmDriver
from academy.settings import Settings
from academy.settings.forms import known_host, shown_address

#: How the driver of each kind is made, from the address without its kind and the servers' key.
KINDS: dict[str, Callable[[str, str], RuntimeDriver]] = {
    "embedded": lambda url, key: EmbeddedDriver(url),  # it asks for no key, so it is sent none
    "vllm": lambda url, key: VllmDriver(url, api_key=key),
}

#: The kind of an address that names none.
DEFAULT_KIND = "embedded"

#: Where a model server is looked for when nobody named one: where ``academy runtime`` listens.
AUTO = "http://127.0.0.1:8100"

_ADDRESSES = "ACADEMY_RUNTIME_URL"
_KEY = "ACADEMY_RUNTIME_API_KEY"
_PORTS = {"http": 80, "https": 443}
_READABLE = "an address whose host and port can be read"
_NETLOC = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}))?"
)
#: A part of a path that means the same wherever it is sent: no "..", no escapes, nothing empty.
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]+")


@dataclass(frozen=True)
class Address:
    """Where a model server is and of which kind it is; `url` is without the kind."""

    kind: str
    url: str


@dataclass(frozen=True)
class ModelServer:
    """A model server of the settings, and the driver that speaks its language."""

    kind: str
    url: str
    driver: RuntimeDriver


class ModelServers:
    """The model servers of the settings, in their order; whoever makes one closes it.

    Raises `BadSetting` like `addresses_of`.
    """

    def __init__(self, settings: Settings) -> None:
        key = _key_of(settings)
        self._servers = tuple(
            ModelServer(each.kind, each.url, KINDS[each.kind](each.url, key))
            for each in addresses_of(settings)
        )

    def __iter__(self) -> Iterator[ModelServer]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    def __getitem__(self, index: int) -> ModelServer:
        return self._servers[index]

    def health(self) -> list[tuple[ModelServer, RuntimeHealth]]:
        """Each server and whether it is ready. All are asked at once; never raises."""
        if not self._servers:
            return []
        with ThreadPoolExecutor(len(self._servers), "model-server-health") as pool:
            found = pool.map(lambda server: server.driver.health(), self._servers)
            return list(zip(self._servers, found, strict=True))

    def close(self) -> None:
        """Give back the connections."""
        for server in self._servers:
            server.driver.close()


def addresses_of(settings: Settings) -> tuple[Address, ...]:
    """The addresses of the settings, each checked; asks no server.

    Raises `BadSetting`, which names the address and what is wrong with it.
    """
    found: dict[tuple[str, int, str], Address] = {}
    texts = (AUTO,) if settings.serving.is_auto else settings.serving.urls
    if any("@" in text for text in texts):
        # Of all at once, as a comma in a password has torn it into texts that look like addresses.
        raise _bad(",".join(texts), f"without a user or a password; a key belongs into {_KEY}")
    for text in texts:
        address, place = _read(text)
        if place in found:
            raise _bad(text, "named once: another address means the same server")
        found[place] = address
    return tuple(found.values())


def check(settings: Settings) -> None:
    """Raise `BadSetting` if the settings name a model server that cannot be meant."""
    addresses_of(settings)
    _key_of(settings)


def _read(text: str) -> tuple[Address, tuple[str, int, str]]:
    """An address, and the place by which two that mean the same server are known."""
    scheme, separator, rest = text.partition("://")
    kind, plus, transport = scheme.lower().rpartition("+")
    if not plus:
        kind = DEFAULT_KIND
    if not separator or transport not in _PORTS:
        raise _bad(text, f"[KIND+]http[s]://HOST[:PORT], where KIND is {_kinds()}")
    if kind not in KINDS:
        raise _bad(text, f"of a kind that is there: {_kinds()}")
    if "?" in rest or "#" in rest:
        raise _bad(text, "without a query or a fragment")
    netloc, slash, path = rest.rstrip("/").partition("/")
    segments = path.split("/") if slash else []
    if any(each.lower() == "v1" for each in segments):
        raise _bad(text, "without /v1, which is added to it")
    if not all(_SEGMENT.fullmatch(each) for each in segments):
        raise _bad(text, "an address whose path, if it has one, is plain, such as /llm")
    host, port = _host_and_port(text, netloc)
    url = f"{transport}://{netloc}{slash}{path}"
    try:
        httpx.URL(url)
    except httpx.InvalidURL:
        raise _bad(text, _READABLE) from None
    return Address(kind, url), (host, port or _PORTS[transport], path)


def _host_and_port(text: str, netloc: str) -> tuple[str, int]:
    """The host in its one spelling, and the port; 0 where none is named."""
    found = _NETLOC.fullmatch(netloc)
    if netloc.startswith(":") or not netloc:
        raise _bad(text, "an address with a host, such as http://127.0.0.1:8100")
    host = known_host(found["six"] or found["name"]) if found else None
    if found is None or host is None:
        raise _bad(text, _READABLE)
    port = int(found["port"] or 0)
    if found["port"] and not 1 <= port <= 65535:
        raise _bad(text, f"{_READABLE}, whose port is one that a server can have, 1 to 65535")
    return host, port


def _kinds() -> str:
    return " or ".join(KINDS)


def _bad(text: str, allowed: str) -> BadSetting:
    return BadSetting(name=_ADDRESSES, value=shown_address(text), allowed=allowed)


def _key_of(settings: Settings) -> str:
    """The key for the servers that ask for one; empty: none."""
    key = settings.serving.api_key
    if any(not "!" <= each <= "~" for each in key):
        allowed = "printable ASCII without spaces, as HTTP headers want it"
        raise BadSetting(name=_KEY, value="…", allowed=allowed)
    return key
