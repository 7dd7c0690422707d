"""Reading what clients send, strictly, and saying exactly what is wrong with it.

JSON here has no NaN, no infinity, no repeated names, no lone surrogates and no NUL (which
PostgreSQL cannot store). Numbers are not made from strings. Registering `StrictModels` makes
APIFlask's ``input`` decorator do all of this for every pydantic model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from apiflask.schema_adapters.pydantic import PydanticAdapter
from apiflask.schema_adapters.registry import registry
from flask import Request, g
from gevent import sleep
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from academy.errors import AcademyError, InvalidRequest
from academy.validation.reading import pointer_of, refuse, validate
from academy.web.state import state
from academy.wire.json_rules import MOST_VALUES
from academy.wire.strict_json import JsonFault, read_json

NDJSON_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
Model = TypeVar("Model", bound=BaseModel)
#: A body is read in pieces of this size.
_PIECE_BYTES = 64 << 10


class NotJson(AcademyError):
    """The body is not JSON: {why}."""

    code = "not_json"
    status = 400
    next_step = "Send one JSON object in UTF-8 and 'Content-Type: application/json'."

    @property
    def errors(self) -> list[dict[str, Any]]:
        found: dict[str, Any] = {"pointer": "", "detail": self.fields["why"], "allowed": "JSON"}
        found |= {name: self.fields[name] for name in ("line", "column") if name in self.fields}
        return [found]


class WrongMediaType(AcademyError):
    """The body is declared as {given!r}, but this takes {allowed}."""

    code = "unsupported_media_type"
    status = 415
    next_step = "Set the Content-Type header to one of those."

    def __init__(self, *, given: str, types: Sequence[str]) -> None:
        super().__init__(given=given, allowed=" or ".join(types))
        self.fields = {"given": given, "types": types}
        #: RFC 9110, section 15.5.16: what would be taken instead.
        self.headers = {"Accept": ", ".join(types)}


class BodyIncomplete(AcademyError):
    """The body ended after {received} of {declared} bytes."""

    code = "body_incomplete"
    status = 400
    next_step = "Send the whole request again; nothing of it was done."


class StrictModels(PydanticAdapter):
    """APIFlask's adapter for pydantic models, with strict JSON and errors by JSON pointer."""

    def validate_input(self, request: Request, location: str, **kwargs: Any) -> BaseModel:
        if location == "json":
            return read_model(request, self.model_class)
        if location in {"query", "querystring"}:
            return read_query(request, self.model_class)
        return super().validate_input(request, location, **kwargs)


registry.register("pydantic", StrictModels)


def body_of(request: Request) -> bytes:
    """The whole body. Raises `BodyIncomplete`, or `RequestEntityTooLarge`.

    Werkzeug gives what it got where a connection broke off, and cuts a chunked body at the limit;
    half of a body may well be valid, so both are told apart from a whole one here. The second time
    it is the same bytes. Raises `TooManyBodies` where others are being read, see `BodyRoom`.
    """
    if "body" not in g:
        g.body = _read_body(request)
    body: bytes = g.body
    return body


def keep_of_body(size: int) -> None:
    """What was read of the body is `size` bytes, and all that is held of it until the answer.

    For a request that takes long: blanks in a body are no reason to keep others' bodies out.
    """
    held = g.get("body_bytes", 0)
    g.body, g.body_bytes = b"", min(size, held)
    state().body_room.give_back(held - g.body_bytes)


def let_go(_: BaseException | None = None) -> None:
    """The request is over, and its body, if it was read, is held no more."""
    state().body_room.give_back(g.pop("body_bytes", 0))


def _read_body(request: Request) -> bytes:
    room, pieces = state().body_room, []
    with suppress(ClientDisconnected):  # which is told apart below, by what came
        while piece := request.stream.read(_PIECE_BYTES):
            room.take(len(piece))
            g.body_bytes = g.get("body_bytes", 0) + len(piece)
            pieces.append(piece)
            if len(piece) == _PIECE_BYTES:
                sleep(0)  # a fast sender must not keep the others waiting
    raw = b"".join(pieces)
    declared, limit = request.content_length, request.max_content_length
    if declared is not None and len(raw) < declared:
        raise BodyIncomplete(received=len(raw), declared=declared)
    if limit is not None and len(raw) >= limit:  # see `academy.api.app`
        raise RequestEntityTooLarge
    return raw


def read_model(request: Request, model: type[Model]) -> Model:
    """The request's JSON body as `model`; an empty body is the empty object.

    Raises `WrongMediaType`, `NotJson` or `InvalidRequest`.
    """
    raw = body_of(request)
    if not raw.strip():
        raw = b"{}"
    else:
        require_media_type(request, "application/json")
    return validate(raw, parse(raw), model)


def read_query(request: Request, model: type[Model]) -> Model:
    """The request's query string as `model`; see `read_texts`."""
    return read_texts(request.args, model, "query parameter")


def read_texts(texts: MultiDict[str, str], model: type[Model], noun: str) -> Model:
    """Named texts as `model`; they become numbers where the model has them.

    Raises `InvalidRequest`, which calls them by `noun`.
    """
    repeated = [name for name, values in texts.lists() if len(values) > 1]
    if repeated:
        raise InvalidRequest(
            detail=f"The {noun} {repeated[0]!r} is there more than once.",
            errors=[{"pointer": f"/{repeated[0]}", "detail": "repeated", "allowed": "once"}],
        )
    given = texts.to_dict()
    try:
        return model.model_validate(given)
    except ValidationError as error:
        refuse(error, given, model, noun)


def require_media_type(request: Request, *allowed: str) -> None:
    """Raise `WrongMediaType` unless the body is declared as one of `allowed`."""
    given = request.mimetype
    if given in allowed or (given.endswith("+json") and "application/json" in allowed):
        return
    raise WrongMediaType(given=given or "nothing", types=allowed)


def parse(raw: bytes) -> Any:
    """Strict JSON. Raises `NotJson`, with the line and column where that is known, and
    `InvalidRequest` for more values than any request has.
    """
    try:
        return read_json(raw, most_values=MOST_VALUES)
    except JsonFault as fault:
        if fault.kind == "size":
            allowed = f"at most {MOST_VALUES:,} names and members of lists"
            raise InvalidRequest(
                detail=f"The body is too large a value: {fault.why}.",
                errors=[{"pointer": "", "detail": fault.why, "allowed": allowed}],
            ) from None
        if fault.kind == "text":
            place = pointer_of(fault.location) or "/"
            raise NotJson(why=f"the text at {place} {fault.why}") from None
        known = {"line": fault.line, "column": fault.column}
        raise NotJson(
            why=fault.why, **{name: each for name, each in known.items() if each is not None}
        ) from None


def ndjson_lines(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers from 1."""
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if line.strip():
            yield number, line
