"""``/aliases``: who serves under which name, and who did before."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from academy.access.keys import Role
from academy.api.models.adapters_shapes import AliasHistory, AliasList
from academy.errors import NotFound
from academy.store.models import adapters
from academy.web.permissions import allows
from academy.web.state import state

blueprint = APIBlueprint("aliases", __name__, tag="Adapters")


@blueprint.get("/aliases")
@allows(Role.VIEWER)
@blueprint.output(AliasList)
def list_aliases() -> dict[str, Any]:
    """All aliases and what they point at; none is listed before its first move."""
    with state().reading() as session:
        found = adapters.aliases(session)
    return {"count": len(found), "aliases": found}


@blueprint.get("/aliases/<name>/history")
@allows(Role.VIEWER)
@blueprint.output(AliasHistory)
def alias_history(name: str) -> dict[str, Any]:
    """What an alias pointed at, since when, and who moved it why; newest first."""
    with state().reading() as session:
        moves = adapters.moves(session, name)
    if not moves and name != "default":
        raise NotFound(noun="alias", id=name)
    return {"alias": name, "count": len(moves), "moves": moves}
