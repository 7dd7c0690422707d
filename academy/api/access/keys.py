"""``/keys`` and ``/tickets``: who may come in."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import TICKET_SECONDS, Role, make_key, make_ticket
from academy.api.access.keys_shapes import KeyGone, KeyList, KeyMade, KeyWanted, TicketMade
from academy.errors import Conflict
from academy.store.access import access
from academy.store.engine import Session
from academy.web.declarations import refuses
from academy.web.idempotency import Answer, creates, idempotent
from academy.web.permissions import allows, principal
from academy.web.state import state

blueprint = APIBlueprint("keys", __name__, tag="Access")


@blueprint.post("/keys")
@allows(Role.ADMIN)
@creates
@blueprint.input(KeyWanted, arg_name="wanted")
@blueprint.output(KeyMade, status_code=201)
def create_key(wanted: KeyWanted) -> Response:
    """Make a key. Its secret is in this answer and nowhere else."""

    def work(session: Session) -> Answer:
        row, secret = make_key(session, wanted.name, wanted.role)
        return Answer(
            {
                "success": True,
                "message": "Key made; keep it now, it is not shown again",
                "id": row.id,
                "name": row.name,
                "role": row.role,
                "key": secret,
            }
        )

    # A stored answer must not hold the secret, so a repetition gets everything but that.
    return idempotent(work, hide=lambda body: {**body, "key": None}).response()


@blueprint.get("/keys")
@allows(Role.ADMIN)
@blueprint.output(KeyList)
def list_keys() -> dict[str, Any]:
    """All keys with their names and roles, the revoked ones too."""
    with state().reading() as session:
        found = access.keys(session)
    return {"count": len(found), "keys": found}


@blueprint.delete("/keys/<key_id>")
@allows(Role.ADMIN)
@refuses(409)
@blueprint.output(KeyGone)
def revoke_key(key_id: str) -> dict[str, Any]:
    """Revoke a key: refused from now on, by other API processes within a second.

    The last admin key stays, as nobody could make another.
    """
    with state().sessions.begin() as session:
        access.lock_bootstrap(session)  # two admins revoking each other take turns
        key = access.revoke_key(session, key_id)
        if access.count_live_admins(session) == 0:
            raise Conflict(
                detail=f"The key {key.name!r} is the last admin key; make another first."
            )
    state().key_cache.forget()
    return {"success": True, "message": f"Key {key.name!r} revoked", "id": key.id}


@blueprint.post("/tickets")
@allows(Role.VIEWER)
@blueprint.output(TicketMade, status_code=201)
def create_ticket() -> dict[str, Any]:
    """A one-time pass with this key's rights, for a browser's websocket or event stream."""
    with state().sessions.begin() as session:
        ticket = make_ticket(session, principal())
    return {"ticket": ticket, "expires_in_seconds": TICKET_SECONDS}
