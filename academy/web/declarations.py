"""What a view says of itself for the OpenAPI document, by decorators beside its route.

APIFlask reads a view's models from ``input`` and ``output``; who may call it is said by
`academy.web.permissions`. Everything else that the document tells is declared with these, so that
adding an endpoint means writing it and nothing more. They go below the route, in any order, and do
not change what the view does; `academy.api.openapi` writes the document from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from academy.wire import sse

View = TypeVar("View", bound=Callable[..., Any])
#: What a body holds: a model, or a JSON schema.
Shape = type[BaseModel] | dict[str, Any]

#: A body that is a text, or bytes of any kind.
TEXT: Shape = {"type": "string"}
BYTES: Shape = {"type": "string", "format": "binary"}

#: An event of a stream, as the document describes each of them.
_EVENT: Shape = {
    "type": "object",
    "title": "ServerSentEvent",
    "required": ["data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string", "description": "a JSON object with its type, or [DONE]"},
    },
}

_ATTRIBUTE = "academy_declaration"


@dataclass(frozen=True)
class Answered:
    """One kind of answer: its status, what it means, and its body by media type."""

    status: int
    description: str
    content: Mapping[str, Shape]


@dataclass(frozen=True)
class Declaration:
    """Everything that a view declared.

    `headers`: those that it reads, with their JSON schemas; all may be left out. `path`: what parts
    of its path must be, as JSON schemas. `body`: the media types
    that it reads itself, with their shapes. `problems`: statuses of problems that no other
    declaration implies. `websocket`: what its frames hold; `query`: what a websocket may be asked.
    """

    headers: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    path: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    body: Mapping[str, Shape] = field(default_factory=dict)
    answers: tuple[Answered, ...] = ()
    problems: frozenset[int] = frozenset()
    websocket: str | None = None
    query: type[BaseModel] | None = None


def declaration_of(view: Callable[..., Any]) -> Declaration:
    """What `view` declared; an empty declaration if it declared nothing."""
    found: Declaration = getattr(view, _ATTRIBUTE, Declaration())
    return found


def reads_header(name: str, meaning: str, *, pattern: str | None = None) -> Callable[[View], View]:
    """The view reads a header that may be left out, and refuses one that `pattern` does not fit."""
    schema: dict[str, Any] = {"type": "string", "description": meaning}
    schema |= {"minLength": 1, "maxLength": 255} if pattern is None else {"pattern": pattern}
    return _declaring(lambda so_far: replace(so_far, headers={**so_far.headers, name: schema}))


def names_in_path(name: str, pattern: str) -> Callable[[View], View]:
    """The view refuses a part of its path that `pattern` does not fit."""
    schema = {"type": "string", "pattern": pattern}
    return _declaring(lambda so_far: replace(so_far, path={**so_far.path, name: schema}))


def reads_body(content: Mapping[str, Shape]) -> Callable[[View], View]:
    """The view reads the body itself: of one of these media types, each with its shape."""
    return _declaring(lambda so_far: replace(so_far, body={**so_far.body, **content}))


def answers(
    status: int, description: str, shape: Shape = TEXT, media_type: str = "application/json"
) -> Callable[[View], View]:
    """The view has this answer as well as the one of its ``output``, or instead if it has none.

    Said again for the same status it adds a media type, as for a view that may also stream.
    """
    more = Answered(status, description, {media_type: shape})
    return _declaring(lambda so_far: replace(so_far, answers=(*so_far.answers, more)))


def streams(description: str) -> Callable[[View], View]:
    """The view answers with server-sent events, or may do so."""
    return answers(200, description, _EVENT, sse.MEDIA_TYPE)


def refuses(*statuses: int) -> Callable[[View], View]:
    """The view has problems of these statuses, besides those that its other declarations imply."""
    return _declaring(lambda so_far: replace(so_far, problems=so_far.problems | set(statuses)))


def speaks_websocket(frames: str, query: type[BaseModel]) -> Callable[[View], View]:
    """The route is a websocket; `frames` says what a frame holds, `query` what it may be asked."""
    return _declaring(lambda so_far: replace(so_far, websocket=frames, query=query))


def _declaring(change: Callable[[Declaration], Declaration]) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        setattr(view, _ATTRIBUTE, change(declaration_of(view)))
        return view

    return decorate
