"""The opening handshake of a websocket (RFC 6455, section 4.2), and what is agreed on with it."""

from __future__ import annotations

import base64
import binascii

from flask import Request
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.utilities import generate_accept_token

from academy.errors import MOST_SENT_CHARACTERS, AcademyError, InvalidRequest, shortened
from academy.web.origins import is_foreign

VERSION = "13"
_KEY_BYTES = 16
_DEFLATE = "permessage-deflate"
_LARGEST_WINDOW = "15"


class OriginRefused(AcademyError):
    """A page of {origin!r} may not open a websocket here."""

    code = "origin_refused"
    status = 403
    next_step = "Open it from the dashboard's own address; other programs send no Origin header."


class Handshake:
    """What a client asked for, once it is found to be in order.

    Raises `OriginRefused` for a page of another host (browsers open sockets for any page and send
    their cookies along, and nothing else protects from that), and `InvalidRequest` for what is no
    handshake.
    """

    def __init__(self, request: Request) -> None:
        if is_foreign(request):
            raise OriginRefused(origin=request.headers["Origin"])
        key = request.headers.get("Sec-WebSocket-Key", "").strip()
        version = request.headers.get("Sec-WebSocket-Version", "").strip()
        if request.method != "GET" or request.environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
            raise _refused("it is a GET of HTTP/1.1")
        if not request.headers.get("Host"):
            raise _refused("the header Host is missing")
        if version != VERSION:
            raise _refused(f"Sec-WebSocket-Version is {version!r}, and {VERSION} is spoken here")
        if _decoded_length(key) != _KEY_BYTES:
            raise _refused(f"Sec-WebSocket-Key is {key!r}, which is no base 64 of 16 bytes")
        self._accept = generate_accept_token(key.encode())
        offers = ",".join(request.headers.getlist("Sec-WebSocket-Extensions"))
        self.is_compressed = any(_is_ours(each) for each in offers.split(","))

    def headers(self) -> list[tuple[str, str]]:
        """The answer's headers, with status 101."""
        found = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", self._accept.decode()),
        ]
        if self.is_compressed:
            agreed = f"{_DEFLATE}; server_no_context_takeover; client_no_context_takeover"
            found.append(("Sec-WebSocket-Extensions", agreed))
        return found

    def extensions(self) -> list[Extension]:
        """What reading the client's frames takes."""
        return agreed_deflate() if self.is_compressed else []


def agreed_deflate() -> list[Extension]:
    """Compression as `Handshake.headers` agrees on it, for one connection."""
    deflate = PerMessageDeflate(client_no_context_takeover=True, server_no_context_takeover=True)
    deflate.finalize(_DEFLATE)
    return [deflate]


def _is_ours(offer: str) -> bool:
    """Whether an offer can be taken: compression with windows as large as ours."""
    name, *parameters = (each.strip() for each in offer.split(";"))
    if name.lower() != _DEFLATE:
        return False
    for each in parameters:
        key, _, value = each.partition("=")
        if key.strip() == "server_max_window_bits" and value.strip(' "') != _LARGEST_WINDOW:
            return False
    return True


def _decoded_length(key: str) -> int:
    try:
        return len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        return 0


def _refused(why: str) -> InvalidRequest:
    return InvalidRequest(
        detail=shortened(
            f"The handshake of the websocket was refused: {why}.", MOST_SENT_CHARACTERS
        ),
        errors=[{"detail": "refused", "allowed": "a handshake as in RFC 6455, section 4.1"}],
    )
