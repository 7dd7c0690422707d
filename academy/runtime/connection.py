"""The client's end of a WSGI request: whether it is still there. Standard library only."""

from __future__ import annotations

import select
import socket
from typing import Any


def client_is_gone(environ: dict[str, Any]) -> bool:
    """Whether the client has closed its connection; False where the server does not show it.

    WSGI tells of a lost client only when something is written to it, which would let an abandoned
    answer be computed to its end. gunicorn shows the socket (gunicorn/http/wsgi.py).
    """
    client = _socket_of(environ)
    if client is None:
        return False
    try:
        readable, _, _ = select.select([client], [], [], 0)
        return bool(readable) and client.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True


def limit_patience(environ: dict[str, Any], seconds: float) -> None:
    """Give up on a client that neither sends nor takes a byte for so long."""
    client = _socket_of(environ)
    if client is not None:
        client.settimeout(seconds)


def _socket_of(environ: dict[str, Any]) -> socket.socket | None:
    client = environ.get("gunicorn.socket")
    return client if isinstance(client, socket.socket) else None
