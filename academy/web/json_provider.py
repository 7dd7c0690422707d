"""JSON as this API writes it: ISO 8601 times in UTC, and never NaN or infinity."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from flask.json.provider import DefaultJSONProvider


class Json(DefaultJSONProvider):
    """Flask's JSON; but numbers that JSON does not have become null, and names keep their order."""

    sort_keys = False
    ensure_ascii = False
    mimetype = "application/json"

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        kwargs = {"default": _default, "ensure_ascii": False, "allow_nan": False, **kwargs}
        try:
            return json.dumps(obj, **kwargs)
        except ValueError:
            return json.dumps(finite(obj), **kwargs)


def finite(value: Any) -> Any:
    """The value with None in place of NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def moment(when: datetime | None) -> str | None:
    """A time in UTC, such as ``2024-01-01T12:00:00.123456Z``."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z") if when is not None else None


def _default(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    return DefaultJSONProvider.default(value)
