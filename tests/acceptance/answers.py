"""Reading an answer of the API that has to be a good one."""

from __future__ import annotations

from typing import Any

from httpx import Response


def answered(response: Response, status: int = 200) -> dict[str, Any]:
    """The body of an answer with that status; fails with what it says otherwise."""
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    return body
