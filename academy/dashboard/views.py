"""``/academy``: the page, and the session that a one-time link opens."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from apiflask import APIBlueprint
from flask import Response, make_response, redirect, render_template, request

from academy.access.keys import (
    SESSION_SECONDS,
    Role,
    close_session,
    open_session,
    redeem_ticket,
    resume_session,
    ticket_key_id,
)
from academy.dashboard.forms import curation_form, training_form
from academy.dashboard.languages import COOKIE, LANGUAGES, language_of, texts
from academy.errors import AcademyError
from academy.jobs import kinds
from academy.lifecycle import Status
from academy.web import session_cookie
from academy.web.state import state
from academy.web.strict_json import require_media_type

PAGE = "/academy"
FORM = "application/x-www-form-urlencoded"

blueprint = APIBlueprint(
    "dashboard",
    __name__,
    enable_openapi=False,  # it is for people; programs use the API
    static_folder="static",
    static_url_path=f"{PAGE}/static",
    template_folder="templates",
)

#: Nothing from another host, no inline script or style, and no text that becomes HTML.
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
#: What the address says beside a ticket or a language: which job is shown, and which are listed.
_PLACE = ("job", "status", "kind", "role")
_YEAR_SECONDS = 365 * 24 * 3600


@blueprint.get("/")
def home() -> Response:
    """Whoever knows nothing but the host gets the page."""
    return make_response(redirect(PAGE))


@blueprint.get("/docs")
def description() -> Response:
    """The API's description, where people look for it."""
    return make_response(redirect("/openapi.json"))


@blueprint.get(PAGE)
def show() -> Response:
    """The dashboard; with ``?ticket=`` the ticket is used up and a session begins."""
    if chosen := request.args.get("language"):
        return _remember_language(chosen)
    ticket = request.args.get("ticket")
    # Programs that look whether a link works send HEAD; that must not use it up.
    if ticket and request.method != "HEAD":
        # A stranger's link must not make this browser work under the stranger's key unnoticed.
        return _ask(ticket) if _would_replace(ticket) else _open(ticket)
    return _page()


@blueprint.post(f"{PAGE}/session")
def replace() -> Response:
    """Use a ticket up after somebody agreed to leave the session that there is."""
    session_cookie.require_own_form(request)
    require_media_type(request, FORM)
    return _open(request.form.get("ticket", ""))


@blueprint.delete(f"{PAGE}/session")
def end() -> Response:
    """Sign out: the session ends on the server, and the browser forgets the cookie."""
    secret = session_cookie.session_of(request)
    if secret is not None:
        with state().sessions.begin() as session:
            close_session(session, secret)
    answer = Response(status=204)
    session_cookie.take_back(request, answer)
    return answer


@blueprint.after_request
def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Referrer-Policy"] = "same-origin"
    if request.endpoint != "dashboard.static":
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Cookie, Accept-Language"
    return response


def _would_replace(ticket: str) -> bool:
    """Whether the browser has a session, and of another key than the ticket's."""
    if not session_cookie.begun(request):
        return False
    secret = session_cookie.held(request)
    try:
        with state().sessions.begin() as session:
            other = ticket_key_id(session, ticket)
            if other is None or secret is None:
                return other is not None
            return resume_session(session, secret).key_id != other
    except AcademyError as error:
        if error.status != 401:
            raise
        return False  # the session is over


def _ask(ticket: str) -> Response:
    return _render("replace.html", ticket=ticket)


def _open(ticket: str) -> Response:
    before = session_cookie.held(request)
    try:
        with state().sessions.begin() as session:
            secret = open_session(session, redeem_ticket(session, ticket))
            if before is not None:
                close_session(session, before)
    except AcademyError as error:
        if error.status != 401:
            raise
        return _closed(error)
    if session_cookie.is_from_elsewhere(request):
        # A redirect would still count as coming from the other site, and the browser would keep
        # a strict cookie back. This page's own reload is the dashboard's.
        answer = _render("opened.html", title="opened.title")
    else:
        answer = make_response(redirect(_here(), 303))
    session_cookie.give(request, answer, secret)
    return answer


def _page() -> Response:
    secret = session_cookie.held(request)
    if secret is None and request.headers.get("Sec-Fetch-Site") == "cross-site":
        # A link on another site led here, for example to a job, so the browser kept a strict cookie
        # back. Reloaded by this page itself, it sends the cookie, if it has one.
        return _render("opened.html", title="opened.from_elsewhere")
    if secret is None:
        return _closed(None)
    try:
        with state().sessions.begin() as session:
            principal = resume_session(session, secret)
    except AcademyError as error:
        if error.status != 401:
            raise
        return _closed(error)
    return _render(
        "dashboard.html",
        principal=principal,
        may_operate=principal.role.includes(Role.OPERATOR),
        may_activate=principal.role.includes(Role.ADMIN),
        curation=curation_form(state().settings),
        training=training_form(state().settings),
        base_model=state().settings.models.base,
        statuses=list(Status),
        kind_titles={kind.name: kind.title(language_of(request)) for kind in kinds.every()},
    )


def _closed(error: AcademyError | None) -> Response:
    """The page for whoever has no session: how to get in. Forgets a cookie that does not work."""
    code = error.code if error is not None else None
    answer = _render("closed.html", code=code, hours=int(SESSION_SECONDS // 3600))
    answer.status_code = 401
    if (
        error is not None
        and session_cookie.held(request) is not None
        and "ticket" not in request.args
        and request.method != "POST"
    ):
        session_cookie.take_back(request, answer)
    return answer


def _remember_language(chosen: str) -> Response:
    answer = make_response(redirect(_here(), 303))
    if chosen in LANGUAGES:
        answer.set_cookie(
            COOKIE,
            chosen,
            max_age=_YEAR_SECONDS,
            path=PAGE,
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
        )
    return answer


def _here(**more: str) -> str:
    """The address of this page with what it says of jobs, and without what was used up."""
    kept = {name: value for name in _PLACE if (value := request.args.get(name))}
    query = urlencode(kept | more)
    return f"{PAGE}?{query}" if query else PAGE


def _render(template: str, **values: Any) -> Response:
    language = language_of(request)
    known = texts(language)

    def text(key: str, **fields: Any) -> str:
        return str(known[key]).format(**fields)

    return make_response(
        render_template(
            template,
            text=text,
            language=language,
            languages=LANGUAGES,
            page=PAGE,
            here=_here,
            **values,
        )
    )
