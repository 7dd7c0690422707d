"""``/healthz``, ``/readyz`` and ``/metrics``: for whoever keeps the service running."""

from __future__ import annotations

import time
from typing import Any

import redis
from apiflask import APIBlueprint
from flask import Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field

from academy.access.keys import Role
from academy.api.ops.keepers import is_late
from academy.api.ops.surroundings import Surroundings
from academy.errors import Unavailable
from academy.host.disks import FULL_BYTES, free_bytes
from academy.store.engine import StoreError
from academy.store.jobs import keepers
from academy.store.schema import KindsMissing, SchemaMismatch, require_in_order
from academy.web.declarations import TEXT, answers
from academy.web.permissions import allows
from academy.web.shapes import Shown
from academy.web.state import State, state

#: For so long ``/readyz`` tells that a process was started again.
_LATELY_SECONDS = 120.0

blueprint = APIBlueprint("probes", __name__, tag="Probes")


class Alive(Shown):
    """The process answers."""

    status: str = "alive"


class Ready(Shown):
    """Whether each thing that requests need is there."""

    ready: bool = Field(description="whether PostgreSQL, its schema, Redis and disks are in order")
    checks: dict[str, str] = Field(
        description="'ok' or what is wrong, also of what works in the background: 'keeper', "
        "'runtime' and, under `academy up`, 'processes'"
    )


@blueprint.get("/healthz")
@allows(None)
@blueprint.output(Alive)
def healthz() -> dict[str, Any]:
    """Whether the process is alive; looks at nothing else."""
    return {"status": "alive"}


@blueprint.get("/readyz")
@allows(None)
@blueprint.output(Ready)
def readyz() -> Response:
    """Whether PostgreSQL, its schema, Redis and the disk are in order; 503 if one is not."""
    checks = {**_database(state()), "redis": _redis(state()), "storage": _storage(state())}
    ready = all(each == "ok" for each in checks.values())
    checks |= {"keeper": _keeper(state()) if ready else "unknown", **_around(state())}
    answer = jsonify({"ready": ready, "checks": checks})
    answer.status_code = 200 if ready else 503
    return answer


@blueprint.get("/metrics")
@allows(Role.VIEWER)
@answers(200, "Prometheus' text format.", TEXT, "text/plain")
def metrics() -> Response:
    """Requests, jobs, queues and workers, for Prometheus."""
    return Response(generate_latest(state().figures.registry), content_type=CONTENT_TYPE_LATEST)


def _database(current: State) -> dict[str, str]:
    # The answer is open to anybody, so it says what is wrong but no address.
    try:
        require_in_order(current.settings.postgres.url)
    except (SchemaMismatch, KindsMissing) as error:
        return {"postgres": "ok", "migrations": str(error)}
    except StoreError as error:
        return {"postgres": f"away ({type(error).__name__})", "migrations": "unknown"}
    return {"postgres": "ok", "migrations": "ok"}


def _redis(current: State) -> str:
    try:
        current.redis.ping()
    except redis.RedisError as error:
        return f"away ({type(error).__name__})"
    return "ok"


def _storage(current: State) -> str:
    free = min(map(free_bytes, current.settings.own_folders))
    return "ok" if free >= FULL_BYTES else f"full ({free >> 10} KiB free)"


def _keeper(current: State) -> str:
    with current.reading() as session:
        found = keepers.every(session)
    if not found:
        return "none was seen"
    keeper, silent_seconds = found[0]
    return f"no sweep for {silent_seconds:.0f} s" if is_late(keeper, silent_seconds) else "ok"


def _around(current: State) -> dict[str, str]:
    try:
        around: Surroundings = current.lookout.seen()
    except Unavailable:  # a look that takes too long does not make the API unready
        return {"runtime": "unknown"}
    states = [each["state"] for each in around.runtimes if not each["ready"]]
    checks = {"runtime": states[0] if len(states) == len(around.runtimes) and states else "ok"}
    if around.stack is not None:
        lately = time.time() - _LATELY_SECONDS
        restarts = [each for each in around.stack.restarts if each.at > lately]
        told = ", ".join(f"{each.name} {each.why}" for each in restarts)
        checks["processes"] = f"started again: {told}" if told else "ok"
    return checks
