"""``/adapters``: what was trained, and which of it serves."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from apiflask import APIBlueprint
from flask import Response, jsonify

from academy.access.keys import Role
from academy.api.models.adapters_shapes import (
    Activate,
    AdapterShown,
    AliasMoved,
    Deactivate,
    adapter_body,
    adapter_path,
)
from academy.errors import InvalidRequest
from academy.registry import aliases
from academy.store.models import adapters
from academy.web.declarations import refuses
from academy.web.paging import PageQuery, page_of
from academy.web.permissions import allows, principal
from academy.web.state import state

blueprint = APIBlueprint("adapters", __name__, tag="Adapters")


@blueprint.get("/adapters")
@allows(Role.VIEWER)
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(list[AdapterShown])  # type: ignore[arg-type]  # it takes lists of models
def list_adapters(query: PageQuery) -> Response:
    """The trained adapters, newest first; the ``Link`` header leads to the next page."""
    settings = state().settings
    with state().sessions() as session:
        page = page_of(query, lambda limit, after: adapters.page(session, limit=limit, after=after))
        pointing = list(adapters.aliases(session))
    shown = [
        AdapterShown.model_validate(adapter_body(each, pointing, settings)).model_dump(mode="json")
        for each in page.rows
    ]
    return page.link(jsonify(shown))


@blueprint.get("/adapters/<adapter_id>")
@allows(Role.VIEWER)
@blueprint.output(AdapterShown)
def show_adapter(adapter_id: str) -> dict[str, Any]:
    """One adapter: its recipe, its data, what it measured, and the aliases that point at it."""
    with state().sessions() as session:
        adapter = adapters.get(session, adapter_id)
        return adapter_body(adapter, list(adapters.aliases(session)), state().settings)


@blueprint.post("/adapters/activate")
@allows(Role.ADMIN)
@refuses(404, 409, 503)
@blueprint.input(Activate, arg_name="wanted")
@blueprint.output(AliasMoved)
def activate_adapter(wanted: Activate) -> dict[str, Any]:
    """Serve an adapter under an alias, without a restart.

    It is loaded on each live model server, which verifies its digest, before the alias moves. With
    `expected_generation` the alias moves only if nobody moved it meanwhile (else 409).
    """
    if wanted.adapter_path is not None:
        _require_own_path(wanted.adapter_id, wanted.adapter_path)
    moved = aliases.activate(
        state().sessions,
        state().settings,
        state().model_servers,
        wanted.adapter_id,
        alias=wanted.alias,
        expected_generation=wanted.expected_generation,
        moved_by=principal().name,
        reason=wanted.reason,
    )
    return {"success": True, "message": "Adapter activated successfully", **asdict(moved)}


@blueprint.post("/adapters/deactivate")
@allows(Role.ADMIN)
@refuses(409)
@blueprint.input(Deactivate, arg_name="wanted")
@blueprint.output(AliasMoved)
def deactivate_adapter(wanted: Deactivate) -> dict[str, Any]:
    """Serve the base model under an alias again."""
    moved = aliases.deactivate(
        state().sessions,
        state().settings,
        alias=wanted.alias,
        expected_generation=wanted.expected_generation,
        moved_by=principal().name,
        reason=wanted.reason,
    )
    message = "Adapter deactivated successfully - using base model"
    return {"success": True, "message": message, **asdict(moved)}


def _require_own_path(adapter_id: str, path: str) -> None:
    with state().sessions() as session:
        own = adapter_path(adapters.get(session, adapter_id), state().settings)
    if path.rstrip("/") != own:
        raise InvalidRequest(
            detail=f"adapter_path is {path!r}, but the adapter {adapter_id!r} lies at {own!r}.",
            errors=[
                {
                    "pointer": "/adapter_path",
                    "detail": "not the adapter's own path",
                    "allowed": f"{own!r}, or leave it out",
                }
            ],
        )
