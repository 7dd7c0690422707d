"""Moving an alias to an adapter version, and resolving the names that clients use.

A swap loads the version on every live model server, which verifies its digest and probes it, and
only then moves the alias by compare-and-swap. Requests resolve an alias once, so each answer comes
wholly from one version; the version before stays resident.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from academy.artifacts.store import ArtifactStore
from academy.basemodels import folders
from academy.errors import InvalidRequest, NotFound, Unavailable
from academy.serving.drivers.interface import AdapterRef
from academy.serving.servers import ModelServers
from academy.settings import Settings
from academy.store.engine import Session, Sessions
from academy.store.models import adapters
from academy.store.models.tables import Adapter

log = logging.getLogger(__name__)

DEFAULT_ALIAS = "default"


@dataclass(frozen=True)
class Activation:
    """What an alias points at now; no adapter means the base model. `swap_seconds` is the time
    from the digest check to the move."""

    alias: str
    adapter_id: str | None
    previous_adapter_id: str | None
    generation: int
    swap_seconds: float


@dataclass(frozen=True)
class Resolved:
    """What a client's model name means at this moment: `runtime_model` is the name to ask the
    model server for, `adapter_id` is None for the base model."""

    runtime_model: str
    adapter_id: str | None
    alias: str | None


def activate(
    sessions: Sessions,
    settings: Settings,
    servers: ModelServers,
    adapter_id: str,
    *,
    alias: str = DEFAULT_ALIAS,
    expected_generation: int | None = None,
    moved_by: str | None = None,
    reason: str | None = None,
) -> Activation:
    """Serve an adapter under `alias`, without a restart and without losing a request.

    Raises `NotFound`, `InvalidRequest` (another base model, or an alias that is called like a model
    or an adapter), `DigestMismatch`, `Unavailable` (no
    model server), or `Conflict` if somebody moved the alias meanwhile; the alias then stays.
    """
    began = time.monotonic()
    with sessions() as session:
        adapter = adapters.get(session, adapter_id)
        _require_own_name(session, settings, alias)
        seen = adapters.alias(session, alias)
    if expected_generation is None:
        expected_generation = seen.generation if seen else 0
    if adapter.base_model != settings.models.base:
        raise InvalidRequest(
            detail=f"The adapter {adapter_id!r} belongs to the base model {adapter.base_model!r},"
            f" but {settings.models.base!r} is being served."
        )
    _load_everywhere(settings, servers, adapter)
    return _move(
        sessions, alias, adapter_id, expected_generation, moved_by, reason, time.monotonic() - began
    )


def deactivate(
    sessions: Sessions,
    settings: Settings,
    *,
    alias: str = DEFAULT_ALIAS,
    expected_generation: int | None = None,
    moved_by: str | None = None,
    reason: str | None = None,
) -> Activation:
    """Serve the base model under `alias` again; raises `Conflict` and `InvalidRequest` like
    `activate`.
    """
    with sessions() as session:
        _require_own_name(session, settings, alias)
    return _move(sessions, alias, None, expected_generation, moved_by, reason, None)


def resolve(session: Session, settings: Settings, model: str) -> Resolved:
    """What `model` means now: the base model's name, an alias, or an adapter's id.

    An alias that was never moved, as ``default`` at first, means the base model. Raises `NotFound`.
    """
    if model == settings.models.base:
        return Resolved(settings.models.base, None, None)
    alias = adapters.alias(session, model)
    if alias is not None or model == DEFAULT_ALIAS:
        adapter_id = alias.adapter_id if alias else None
        return Resolved(adapter_id or settings.models.base, adapter_id, model)
    try:
        adapter = adapters.get(session, model)
    except NotFound:
        raise NotFound(noun="model", id=model) from None
    return Resolved(adapter.id, adapter.id, None)


def load(sessions: Sessions, settings: Settings, servers: ModelServers, adapter_id: str) -> None:
    """Make a version ready on every live model server, as after a server's restart."""
    with sessions() as session:
        adapter = adapters.get(session, adapter_id)
    _load_everywhere(settings, servers, adapter)


def _require_own_name(session: Session, settings: Settings, alias: str) -> None:
    """An alias that is called like something else would hide it from clients, or be hidden."""
    models = {each.name for each in folders.available(settings.model_folders)}
    if alias in {settings.models.base, *models}:
        taken = "a base model"
    elif adapters.is_known(session, alias):
        taken = "an adapter"
    else:
        return
    raise InvalidRequest(
        detail=f"The alias {alias!r} is called like {taken}; choose another name.",
        errors=[{"pointer": "/alias", "detail": "taken", "allowed": f"no name of {taken}"}],
    )


def _load_everywhere(settings: Settings, servers: ModelServers, adapter: Adapter) -> None:
    folder = ArtifactStore(settings).fetch(adapter.key, adapter.digest)
    reference = AdapterRef(adapter.id, folder, adapter.digest)
    loaded = 0
    states = []
    for server, health in servers.health():
        if health.ready:
            server.driver.load(reference)
            loaded += 1
        else:
            states.append(f"{server.url} is {health.state} {health.detail}".strip())
    if not loaded:
        why = "; ".join(states) or "ACADEMY_RUNTIME_URL names none"
        raise Unavailable(what="The model server", why=why)
    if states:
        log.warning("not every model server took the adapter: %s", "; ".join(states))


def _move(
    sessions: Sessions,
    alias: str,
    adapter_id: str | None,
    expected_generation: int | None,
    moved_by: str | None,
    reason: str | None,
    swap_seconds: float | None,
) -> Activation:
    began = time.monotonic()
    with sessions.begin() as session:
        before = adapters.alias(session, alias)
        previous = before.adapter_id if before else None
        moved = adapters.move_alias(
            session,
            alias,
            adapter_id,
            expected_generation=expected_generation,
            moved_by=moved_by,
            reason=reason,
            swap_seconds=swap_seconds,
        )
    return Activation(
        alias=alias,
        adapter_id=adapter_id,
        previous_adapter_id=previous,
        generation=moved.generation,
        swap_seconds=(swap_seconds or 0.0) + time.monotonic() - began,
    )
