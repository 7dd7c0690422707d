"""Whether a page of this server sent a request, as far as its browser says."""

from __future__ import annotations

from flask import Request


def is_foreign(request: Request) -> bool:
    """Whether the request names an ``Origin``, and another one than the host that it came to.

    The header is compared as a text: a stranger may write into it what is no address.
    """
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2].lower() != request.host.lower()
