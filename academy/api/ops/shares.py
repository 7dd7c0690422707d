"""``/shares``: how the workers are divided between roles and keys."""

from __future__ import annotations

import re
from typing import Any

from apiflask import APIBlueprint

from academy.access.keys import Role
from academy.api.ops.shares_shapes import ShareList, ShareShown, WeightWanted
from academy.errors import InvalidRequest
from academy.store.jobs import shares
from academy.web.declarations import names_in_path
from academy.web.permissions import allows
from academy.web.state import state

blueprint = APIBlueprint("shares", __name__, tag="Workers")

_NAME = r"role:[a-z][a-z0-9_-]{0,62}|key:.{0,100}"


@blueprint.get("/shares")
@allows(Role.VIEWER)
@blueprint.output(ShareList)
def list_shares() -> dict[str, Any]:
    """Who has how much of the workers just now, and by which weights they are shared out."""
    with state().reading() as session:
        found = shares.overview(session)
    return {"count": len(found), "shares": found}


@blueprint.put("/shares/<name>")
@allows(Role.ADMIN)
@names_in_path("name", rf"^(?:{_NAME})$")
@blueprint.input(WeightWanted, arg_name="wanted")
@blueprint.output(ShareShown)
def set_weight(name: str, wanted: WeightWanted) -> dict[str, Any]:
    """Give a role or key a weight; it counts from the next claim."""
    if not re.fullmatch(_NAME, name):
        allowed = "'role:' and a role, or 'key:' and the name of a key"
        raise InvalidRequest(
            detail=f"The share {name!r} must be {allowed}.",
            errors=[{"pointer": "/name", "detail": f"It is {name!r}.", "allowed": allowed}],
        )
    with state().sessions.begin() as session:
        shares.set_weight(session, name, wanted.weight)
        return next(vars(each) for each in shares.overview(session) if each.name == name)
