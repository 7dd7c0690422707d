"""Pages of lists: ``limit``, an opaque ``after``, ``has_more``, and the ``Link`` header."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from academy.errors import InvalidRequest, NotFound

Row = TypeVar("Row")


class PageQuery(BaseModel):
    """Which part of a list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(50, ge=1, le=500, description="how many entries at most")
    after: str | None = Field(
        None, max_length=400, description="the cursor that the page before gave as 'next'"
    )


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows of a list, whether there are more, and the cursor to them."""

    rows: list[Row]
    has_more: bool
    next: str | None

    def answer(
        self, shape: type[BaseModel], name: str, show: Callable[[Row], Any] = lambda row: row
    ) -> Response:
        """The page as an answer of that shape, each row as `show` gives it in the field `name`."""
        body = {
            "count": len(self.rows),
            name: [show(row) for row in self.rows],
            "has_more": self.has_more,
            "next": self.next,
        }
        return self.link(json_of(shape.model_validate(body)))

    def link(self, response: Response) -> Response:
        """Put the next page's address into the ``Link`` header (RFC 8288)."""
        if self.next is not None:
            query = urlencode({**request.args.to_dict(), "after": self.next})
            response.headers["Link"] = f'<{request.path}?{query}>; rel="next"'
        return response


def json_of(shown: BaseModel | Sequence[BaseModel]) -> Response:
    """A model, or several as an array, as an answer; the JSON of `academy.web.json_provider`."""
    if isinstance(shown, BaseModel):
        text = shown.model_dump_json()
    else:
        text = f"[{','.join(each.model_dump_json() for each in shown)}]"
    return Response(text + "\n", mimetype="application/json")


def page_of(query: PageQuery, fetch: Callable[[int, str | None], list[Any]]) -> Page[Any]:
    """The page that `query` asks for; `fetch(limit, after_id)` gives one row more if there is.

    Raises `InvalidRequest` for a cursor that is not of this list.
    """
    after = _decoded(query.after) if query.after is not None else None
    try:
        rows = fetch(query.limit, after)
    except NotFound:
        raise _bad_cursor(query.after) from None
    has_more = len(rows) > query.limit
    rows = rows[: query.limit]
    return Page(rows, has_more, cursor_of(rows[-1].id) if has_more else None)


def more_after(end: int, total: int) -> dict[str, Any]:
    """``has_more`` and ``next`` of a list that counts places, behind place `end` of `total`."""
    return {"has_more": end < total, "next": end if end < total else None}


def cursor_of(row_id: str) -> str:
    """The cursor behind a row."""
    return base64.urlsafe_b64encode(row_id.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        text = base64.b64decode(
            cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        ).decode()
    except (binascii.Error, ValueError):
        raise _bad_cursor(cursor) from None
    if "\x00" in text:
        raise _bad_cursor(cursor)
    return text


def _bad_cursor(cursor: str | None) -> InvalidRequest:
    return InvalidRequest(
        detail=f"after={cursor!r} is no cursor of this list.",
        errors=[{"pointer": "/after", "detail": "unknown cursor", "allowed": "a page's 'next'"}],
    )
