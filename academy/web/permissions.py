"""Who may call a view. Every view says it: there is no default that could be forgotten.

So every view imports this, and with it the strict reading of the models that it takes: APIFlask
chooses the reader when a view is decorated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import g, request

from academy.access.keys import (
    KeyMissing,
    Principal,
    Role,
    authenticate,
    redeem_ticket,
    resume_session,
)
from academy.store.engine import autocommit
from academy.web import strict_json  # noqa: F401  # it registers `StrictModels`
from academy.web.declarations import View
from academy.web.session_cookie import session_of
from academy.web.state import state


def allows(role: Role | None, *, ticket: bool = False) -> Callable[[View], View]:
    """The view needs a key with at least this role; None: anybody may call it.

    With `ticket`, a one-time ``?ticket=`` is taken too, for browsers that cannot send headers.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if role is not None:
                g.principal = identify(ticket=ticket)
                g.principal.require(role)
            return view(*args, **kwargs)

        return declares(role, ticket=ticket)(guarded)  # type: ignore[return-value]

    return decorate


def declares(role: Role | None, *, ticket: bool = False) -> Callable[[View], View]:
    """Say what a view needs, for the OpenAPI document; the view itself checks it."""

    def decorate(view: View) -> View:
        view.academy_role = role  # type: ignore[attr-defined]
        view.academy_ticket = ticket  # type: ignore[attr-defined]
        return view

    return decorate


def identify(*, ticket: bool = False) -> Principal:
    """Who sent the current request: a ticket, a key, or the dashboard's session, in this order.

    Raises one of the 401 errors of `academy.access.keys`, or `CookieRefused` for a request that the
    dashboard's own page did not send.
    """
    if ticket and (given := request.args.get("ticket")):
        with autocommit(state().sessions) as session:
            return redeem_ticket(session, given)
    key = _presented_key()
    if key is None and (secret := session_of(request)):
        with autocommit(state().sessions) as session:
            return resume_session(session, secret)
    if not key:
        raise KeyMissing
    return state().key_cache.holder(key, lambda: _look_up(key))


def _look_up(key: str) -> Principal:
    with autocommit(state().sessions) as session:
        return authenticate(session, key)


def principal() -> Principal:
    """Who sent the current request, after `allows` let it through."""
    found: Principal = g.principal
    return found


def _presented_key() -> str | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get("X-API-Key")
