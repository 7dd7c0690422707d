"""``/adapters``: what was trained, and which of it serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from academy.access.keys import Role
from academy.api.models.adapters_shapes import (
    Activate,
    AdapterGone,
    AdapterShown,
    AliasMoved,
    Deactivate,
    DownloadQuery,
    adapter_body,
    adapter_path,
)
from academy.artifacts import archive
from academy.artifacts.base_name import with_base_named
from academy.errors import InvalidRequest
from academy.registry import aliases
from academy.store.models import adapters
from academy.web.artifacts import folders, outlives
from academy.web.declarations import BYTES, answers, refuses
from academy.web.offload import offload
from academy.web.paging import PageQuery, json_of, page_of
from academy.web.permissions import allows, principal
from academy.web.state import state
from academy.web.streamed import Streamed

blueprint = APIBlueprint("adapters", __name__, tag="Adapters")


@blueprint.get("/adapters")
@allows(Role.VIEWER)
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(list[AdapterShown])  # type: ignore[arg-type]  # it takes lists of models
def list_adapters(query: PageQuery) -> Response:
    """The trained adapters, newest first; the ``Link`` header leads to the next page."""
    settings = state().settings
    with state().reading() as session:
        page = page_of(query, lambda limit, after: adapters.page(session, limit=limit, after=after))
        pointing = list(adapters.aliases(session))
    shown = [
        AdapterShown.model_validate(adapter_body(each, pointing, settings)) for each in page.rows
    ]
    return page.link(json_of(shown))


@blueprint.get("/adapters/<adapter_id>")
@allows(Role.VIEWER)
@blueprint.output(AdapterShown)
def show_adapter(adapter_id: str) -> dict[str, Any]:
    """One adapter: its recipe, its data, what it measured, and the aliases that point at it."""
    with state().reading() as session:
        adapter = adapters.get(session, adapter_id)
        return adapter_body(adapter, list(adapters.aliases(session)), state().settings)


@blueprint.get("/adapters/<adapter_id>/download")
@allows(Role.VIEWER)
@refuses(409, 412, 503)
@blueprint.input(DownloadQuery, location="query", arg_name="query")
@answers(200, "The adapter's folder, as .tar.gz.", BYTES, archive.MEDIA_TYPE)
def download_adapter(adapter_id: str, query: DownloadQuery) -> Response:
    """The adapter's folder as a ``.tar.gz``, made while it is sent; equal bytes each time.

    `X-Academy-Digest` is the digest of the files inside, as their ``manifest.json`` has it. With
    ``base`` the folder names its base model so; else it names it as this installation does.
    """
    with state().reading() as session:
        adapter = adapters.get(session, adapter_id)
    folder = offload(folders(state().settings).fetch, adapter.key, adapter.digest)
    replaced: dict[str, bytes] = {}
    digest = adapter.digest
    if query.base is not None:
        replaced, digest = with_base_named(folder, query.base)
    pieces = archive.archive_of(folder, adapter_id, replaced)
    answer = Streamed(_in_turns(pieces), mimetype=archive.MEDIA_TYPE)
    answer.set_etag(digest.removeprefix("sha256:"))
    answer.headers["X-Academy-Digest"] = digest
    answer.headers["Content-Disposition"] = f'attachment; filename="{adapter_id}.tar.gz"'
    answer.make_conditional(request)
    return answer


@blueprint.delete("/adapters/<adapter_id>")
@allows(Role.ADMIN)
@refuses(409)
@blueprint.output(AdapterGone)
def delete_adapter(adapter_id: str) -> dict[str, Any]:
    """Delete an adapter that nothing names; else 409 with what does.

    The job that made it, and the histories of aliases, keep its id. Its files leave the artifact
    store after `ACADEMY_ARTIFACT_GRACE_SECONDS`.
    """
    with state().reading() as session:
        key = adapters.get(session, adapter_id).key
    outlives(key)
    with state().sessions.begin() as session:
        adapters.delete(session, adapter_id)
    return {"message": f"Adapter {adapter_id!r} deleted", "id": adapter_id}


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


def _in_turns(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, each read and packed in a thread, so that other requests go on meanwhile."""
    while piece := offload(next, pieces, b""):
        yield piece


def _require_own_path(adapter_id: str, path: str) -> None:
    with state().reading() as session:
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
