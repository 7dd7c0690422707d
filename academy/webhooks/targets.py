"""Which addresses a webhook may have, and which a request may really go to.

An address is looked at when it is given, for whoever gives it, and again at each connection, for
names may lead elsewhere by then: the name is resolved once, and what was checked is connected to.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from academy.errors import AcademyError
from academy.settings.forms import known_host, shown_address

Address = IPv4Address | IPv6Address

MOST_CHARACTERS = 2000
_PLAIN = re.compile(r"[\x21-\x7e]+")
#: Where an IPv4 address lies within others: its first bit from the right.
_EMBEDDED = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),  # translated, RFC 2765
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4
)
#: Of nobody, or of whoever configured them, and never a public server's: compatible with IPv4
#: (``::1`` and ``::`` among them), NAT64 of a network's own, Teredo, site-local, discarded.
_CLOSED = tuple(
    map(ipaddress.IPv6Network, ("::/96", "64:ff9b:1::/48", "2001::/32", "fec0::/10", "100::/64"))
)
#: How long a name may take to be resolved, and how many of its addresses are looked at.
_RESOLVE_SECONDS, _MOST_ADDRESSES = 5.0, 8


class TargetRefused(AcademyError):
    """The webhook's address {url!r} was refused: {why}."""

    code = "target_refused"
    status = 422
    next_step = "Give an https address of a public server; servers in your own network need \
ACADEMY_WEBHOOK_PRIVATE=true."

    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(url=shown_address(url)[:200], why=why)

    @property
    def errors(self) -> list[dict[str, str]]:
        allowed = "an https address of a public server"
        return [{"pointer": "/url", "detail": self.fields["why"], "allowed": allowed}]


@dataclass(frozen=True)
class Target:
    """An address in its parts: `host` is a name or an IP address, `path` has the query."""

    url: str
    is_tls: bool
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """The host as HTTP names it (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def parse(url: str) -> Target:
    """The parts of the address. Raises `TargetRefused` for what nobody should send to."""
    if len(url) > MOST_CHARACTERS:
        raise TargetRefused(url=url, why=f"it has more than {MOST_CHARACTERS} characters")
    if not _PLAIN.fullmatch(url) or "\\" in url:
        raise TargetRefused(
            url=url, why="it has characters that an address has to spell as %XX or in Punycode"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TargetRefused(url=url, why="it cannot be read") from None
    if parts.scheme not in {"https", "http"}:
        raise TargetRefused(url=url, why="it begins neither with https:// nor with http://")
    if "@" in parts.netloc:
        raise TargetRefused(
            url=url, why="it holds a user or a password; requests are proven by their signature"
        )
    if "#" in url:
        raise TargetRefused(url=url, why="it has a fragment, which no server would see")
    host = known_host(parts.hostname or "")
    if not host or port == 0 or "%" in parts.netloc or parts.netloc.endswith(":"):
        # Among them 0x7f.1, 2130706433 and 127.1, which some resolvers take for addresses.
        raise TargetRefused(
            url=url, why="its host is neither a name nor an IP address in its usual form"
        )
    is_tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(url, is_tls, host, port or (443 if is_tls else 80), path)


def resolve(target: Target, *, private: bool) -> list[str]:
    """The IP addresses that a request to the target may go to, in the resolver's order.

    With `private`, servers of one's own network are allowed, and only they without TLS. Raises
    `TargetRefused` where one of the addresses is not allowed: who answers with a public address and
    a private one is not to choose.
    """
    found = _addresses(target)
    for each in found:
        if is_public(each):
            if not target.is_tls:
                raise TargetRefused(
                    url=target.url, why="http is for servers of your own network; others need https"
                )
        elif not private:
            raise TargetRefused(url=target.url, why=f"it leads to {each}, which is not public")
    return [str(each) for each in found]


def is_public(address: Address) -> bool:
    """Whether anybody on the internet would reach the same server there.

    Not so: loopback, private, link-local, shared (RFC 6598), multicast, reserved and documentation
    addresses, also where IPv6 wraps an IPv4 address.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None or any(address in each for each in _CLOSED):
            return False
        for network, shift in _EMBEDDED:
            if address in network:
                return is_public(IPv4Address(int(address) >> shift & 0xFFFFFFFF))
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
    )


def _addresses(target: Target) -> list[Address]:
    try:
        return [ipaddress.ip_address(target.host)]
    except ValueError:
        pass
    found: list[Address] = []
    for text in _looked_up(target):
        address = ipaddress.ip_address(text)
        if address not in found:
            found.append(address)
    return found[:_MOST_ADDRESSES]


def _looked_up(target: Target) -> list[str]:
    """What the system's resolver says, which knows no time-out of its own."""
    said: list[list[str]] = []
    wrong: list[OSError | UnicodeError] = []

    def ask() -> None:
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            said.append([str(address[0]) for *_, address in found])
        except (OSError, UnicodeError) as error:
            wrong.append(error)

    thread = threading.Thread(target=ask, name="resolve", daemon=True)
    thread.start()
    thread.join(_RESOLVE_SECONDS)
    if said and said[0]:
        return said[0]
    why = "cannot be resolved" if wrong or said else "was not resolved in time"
    raise TargetRefused(url=target.url, why=f"the name {target.host} {why}")
