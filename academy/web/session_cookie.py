"""The cookie that carries a browser's session, and the requests for which it counts.

A browser sends cookies along with requests that any page makes, so the cookie alone proves nothing
about who asked. It counts only if nothing says that the request came from elsewhere, and requests
that change something must carry a header that a foreign page cannot send without being asked about
it first (a CORS preflight, which this server never allows).
"""

from __future__ import annotations

from flask import Request, Response

from academy.access.keys import SESSION_SECONDS
from academy.errors import AcademyError, shown
from academy.web.origins import is_foreign

#: What the page's own scripts send with every request; the value does not matter.
HEADER = "X-Academy-Dashboard"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class CookieRefused(AcademyError):
    """The session cookie does not count for this request: {why}."""

    code = "cookie_refused"
    status = 403
    next_step = "Use the dashboard's own page, or send an API key instead of the cookie."


def begun(request: Request) -> bool:
    """Whether the browser has a session, also where it keeps the cookie back.

    It does so when a page of another site led here. A second cookie, which is no secret, comes
    along all the same.
    """
    return held(request) is not None or _marker(request) in request.cookies


def require_own_form(request: Request) -> None:
    """Raise `CookieRefused` unless a form of our own page was sent.

    Forms send no header of ours, but every browser says with one from where it comes.
    """
    _require_own_page(request, is_form=True)
    if "Origin" not in request.headers:
        raise CookieRefused(why="it does not say from which page it comes (Origin)")


def session_of(request: Request) -> str | None:
    """The session's secret, or None if the request carries no cookie.

    Raises `CookieRefused` if there is one, but the dashboard's own page did not send it.
    """
    secret = held(request)
    if secret is not None:
        _require_own_page(request)
    return secret


def held(request: Request) -> str | None:
    """The cookie's value, whoever sent it: enough to show the page, which holds no data."""
    return request.cookies.get(_name(request)) or None


def give(request: Request, response: Response, secret: str) -> None:
    """Keep the session's secret in the browser for as long as the session may last."""
    response.set_cookie(
        _name(request),
        secret,
        max_age=int(SESSION_SECONDS),
        path="/",
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
    )
    response.set_cookie(
        _marker(request),
        "1",
        max_age=int(SESSION_SECONDS),
        path="/",
        httponly=True,
        samesite="Lax",
        secure=request.is_secure,
    )


def take_back(request: Request, response: Response) -> None:
    """Let the browser forget the session."""
    for name, sent in ((_name(request), "Strict"), (_marker(request), "Lax")):
        response.delete_cookie(
            name, path="/", httponly=True, samesite=sent, secure=request.is_secure
        )


def is_from_elsewhere(request: Request) -> bool:
    """Whether the browser says that a page of another site led here."""
    return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


def _require_own_page(request: Request, *, is_form: bool = False) -> None:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        raise CookieRefused(why=f"the browser calls it {site!r}, not 'same-origin'")
    if is_foreign(request):
        raise CookieRefused(why=f"it comes from {shown(request.headers['Origin'], 150)!r}")
    if not is_form and request.method not in _SAFE_METHODS and HEADER not in request.headers:
        raise CookieRefused(why=f"a {request.method} must carry the header {HEADER}")


def _marker(request: Request) -> str:
    return f"{_name(request)}_begun"


def _name(request: Request) -> str:
    # Browsers keep cookies by host without the port; two installations on one machine would
    # otherwise sign each other out.
    port = request.host.rpartition(":")[2]
    return f"academy_session_{port}" if port.isascii() and port.isdecimal() else "academy_session"
