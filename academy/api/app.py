"""The application: every blueprint, every error as a problem, one state for the process."""

from __future__ import annotations

import re
import secrets
import time

from apiflask import APIFlask
from flask import Response, g, request
from werkzeug.exceptions import NotFound

import academy
from academy.api import openapi
from academy.api.access import keys
from academy.api.data import curation, datasets, lessons, runs, uploads
from academy.api.jobs import jobs, live, logs, metrics
from academy.api.models import adapters, aliases
from academy.api.openai import chat
from academy.api.ops import events, probes, schedules, shares, status, webhooks, workers
from academy.api.ops.surroundings import look_around, muster
from academy.api.training import preflight, sweeps, training
from academy.dashboard import views as dashboard
from academy.events.hub import Hub
from academy.events.objects import LogObjects
from academy.events.replay import Connections
from academy.events.stream import connect
from academy.jobs.hints import HintPublisher
from academy.registry.gateway import Gateway
from academy.serving.servers import ModelServers
from academy.settings import Settings
from academy.store.engine import make_sessions
from academy.web import metrics as figures
from academy.web import problems, routing, strict_json
from academy.web.body_room import BodyRoom
from academy.web.json_provider import Json
from academy.web.key_cache import KeyCache
from academy.web.live.switchboard import Switchboard
from academy.web.lookout import Lookout
from academy.web.offload import offload
from academy.web.state import State, state

BASE = "/api/v1/academy"
#: Every blueprint, in the order in which the OpenAPI document shows their tags.
_MODULES = (
    status,
    lessons,
    runs,
    curation,
    datasets,
    uploads,
    training,
    sweeps,
    preflight,
    logs,
    live,
    jobs,
    metrics,
    adapters,
    aliases,
    chat,
    events,
    schedules,
    webhooks,
    workers,
    shares,
    keys,
    probes,
    dashboard,
)
_OUTSIDE_OF_BASE = {chat, probes, dashboard}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_POOL = 20


def create_app(settings: Settings) -> APIFlask:
    """The WSGI application. One per process: it holds the connections and the event hub."""
    app = routes()
    open_state(app, settings)
    return app


def routes() -> APIFlask:
    """The application without settings and connections, which takes longest to make."""
    app = APIFlask(
        "academy.api",
        title="Academy",
        version=academy.__version__,
        spec_path="/openapi.json",
        docs_path=None,  # its pages load scripts from elsewhere
        static_folder=None,  # type: ignore[arg-type]  # Flask takes None, APIFlask passes it on
    )
    app.json = Json(app)
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(strict_json.let_go)
    problems.register(app)
    openapi.configure(app)
    for module in _MODULES:
        prefix = None if module in _OUTSIDE_OF_BASE else BASE
        app.register_blueprint(module.blueprint, url_prefix=prefix)
    routing.register(app)
    return app


def open_state(app: APIFlask, settings: Settings) -> None:
    """Give the application its settings and connections; ``State.close`` gives them back."""
    # Werkzeug refuses whoever reads on behind so many bytes, be it to find the end of the body.
    app.config["MAX_CONTENT_LENGTH"] = settings.api.max_body_bytes + 1
    sessions = make_sessions(settings, pool_size=_POOL)
    servers = ModelServers(settings)
    client = connect(settings)
    objects = LogObjects(settings, offload)
    hub = Hub(settings, sessions, objects)
    switchboard = Switchboard(settings, sessions, hub)
    app.extensions["academy"] = State(
        settings=settings,
        sessions=sessions,
        redis=client,
        events=Connections(sessions, client, objects),
        hub=hub,
        hints=HintPublisher(settings, sessions),
        key_cache=KeyCache(),
        model_servers=servers,
        gateway=Gateway(settings, sessions, servers),
        switchboard=switchboard,
        figures=figures.Figures(figures.Stock(settings, sessions, switchboard)),
        lookout=Lookout(lambda: look_around(settings, servers)),
        crew=Lookout(lambda: muster(settings, sessions)),
        body_room=BodyRoom(settings.api.max_body_bytes),
    )


def _begin() -> None:
    g.began = time.perf_counter()
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)
    # PostgreSQL takes no NUL, and no address here has one.
    if "\x00" in request.path or any("\x00" in each for each in request.args.values()):
        raise NotFound


def _end(response: Response) -> Response:
    if response.status_code == 412 and response.mimetype != problems.MEDIA_TYPE:
        response.close()  # the whole of what was not to be sent
        response = problems.of_server(412, "If-Match names another version than the one there is.")
    response.headers["X-Request-Id"] = getattr(g, "request_id", None) or secrets.token_hex(12)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if hasattr(g, "began"):
        route = request.url_rule.rule if request.url_rule else "none"
        seconds = time.perf_counter() - g.began
        state().figures.count(request.method, route, response.status_code, seconds)
    return response
