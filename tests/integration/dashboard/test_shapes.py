"""The types that the page's scripts are checked with say what the API's own document says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from academy.dashboard import views

_TYPES = Path(views.__file__).parent / "shapes.d.ts"
_INTERFACE = re.compile(r"^export interface (\w+)(?: extends \w+)? \{\n(.*?)^\}", re.M | re.S)
_FIELD = re.compile(r"^  (\w+)(\??): (.+);$", re.M)


def test_every_type_of_an_answer_has_only_fields_of_its_schema_and_knows_which_may_be_null(
    app,
) -> None:
    named = app.test_client().get("/openapi.json").json["components"]["schemas"]
    # What only a list holds is named after the list, too: "JobsPage.JobShown".
    schemas = {name.rpartition(".")[2]: schema for name, schema in named.items()}
    compared, wrong = set(), []
    for name, body in _INTERFACE.findall(_TYPES.read_text()):
        if name not in schemas:
            continue
        compared.add(name)
        known = schemas[name]["properties"]
        for field, optional, kind in _FIELD.findall(body):
            if field not in known:
                wrong.append(f"{name}.{field} is not in the schema")
            elif _may_be_null(known[field]) and "null" not in kind:
                wrong.append(f"{name}.{field} may be null")
            elif field not in schemas[name].get("required", known) and not optional:
                wrong.append(f"{name}.{field} may be missing")
    assert wrong == []
    assert {"JobShown", "SystemStatus", "AdapterShown", "SweepShown", "Problem"} <= compared
    assert len(compared) > 20


def _may_be_null(schema: dict[str, Any]) -> bool:
    kinds = schema.get("type", [])
    return "null" in kinds or any(_may_be_null(each) for each in schema.get("anyOf", []))
