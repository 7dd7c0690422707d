"""What is answered before any view is asked: methods that a path has, and redirects.

A path that a route spells out, such as ``/adapters/activate``, is that route's alone. Werkzeug
would count the methods of ``/adapters/<adapter_id>`` among its own, as that matches too, although
no adapter can be called so.
"""

from __future__ import annotations

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import RequestRedirect, WebsocketMismatch

_EXTENSION = "academy.routing"
#: Of a websocket's path: the handshake is a GET.
_WEBSOCKET = frozenset({"GET", "HEAD", "OPTIONS"})


def register(app: Flask) -> None:
    """Answer ``OPTIONS`` and redirects, and refuse methods that a path does not have.

    To be called when every route is there.
    """
    spelled: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        if "<" not in rule.rule and not rule.websocket:
            spelled.setdefault(rule.rule, set()).update(rule.methods or ())
    app.extensions[_EXTENSION] = {path: frozenset(methods) for path, methods in spelled.items()}
    app.before_request(_answer)


def _answer() -> Response | None:
    # Werkzeug's own answer would lead to the host of the request, whatever a client called it.
    if isinstance(request.routing_exception, RequestRedirect):
        location = _on_this_host(request.routing_exception.new_url)
        return Response(status=request.routing_exception.code, headers={"Location": location})
    own = _own_methods()
    if own is None:
        return None
    if request.method not in own:
        raise MethodNotAllowed(valid_methods=sorted(own))
    if request.method == "OPTIONS":
        return Response(status=204, headers={"Allow": ", ".join(sorted(own))})
    return None


def _own_methods() -> frozenset[str] | None:
    """The methods at the request's path; None where there is nothing."""
    spelled: dict[str, frozenset[str]] = current_app.extensions[_EXTENSION]
    if request.path in spelled:
        return spelled[request.path]
    refusal = request.routing_exception
    if isinstance(refusal, WebsocketMismatch):
        return _WEBSOCKET
    if isinstance(refusal, MethodNotAllowed):
        return frozenset(refusal.valid_methods or ())
    if refusal is None and request.url_rule is not None and request.method == "OPTIONS":
        adapter = current_app.create_url_adapter(request)
        return frozenset(adapter.allowed_methods()) if adapter is not None else None
    return None


def _on_this_host(url: str) -> str:
    """An address of our own without its host, which the request's Host header may have made up."""
    after_host = url.partition("://")[2].partition("/")[2]
    return "/" + after_host.lstrip("/\\")
