"""``/v1/models`` and ``/v1/chat/completions``: the gateway that OpenAI's clients talk to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from apiflask import APIBlueprint
from flask import Response, jsonify, request

from academy.access.keys import Role
from academy.api.openai.shapes import ChatAnswered, ChatWanted, ModelList, ModelShown
from academy.errors import AcademyError, NotFound
from academy.serving.drivers.interface import ChatStream
from academy.settings import Settings
from academy.store.engine import Session
from academy.store.models import adapters
from academy.web.declarations import refuses, streams
from academy.web.permissions import allows
from academy.web.state import state
from academy.web.streamed import Streamed
from academy.web.strict_json import body_of, keep_of_body
from academy.wire import sse
from academy.wire.openai_error import error_of

blueprint = APIBlueprint("openai", __name__, tag="OpenAI")

_MOST_ADAPTERS = 500


@blueprint.get("/v1/models")
@allows(Role.VIEWER)
@blueprint.output(ModelList)
def list_models() -> dict[str, Any]:
    """Every name that a chat can ask for: aliases, the base model, adapters."""
    with state().reading() as session:
        return {"object": "list", "data": _models(session, state().settings)}


@blueprint.get("/v1/models/<path:model>")
@allows(Role.VIEWER)
@blueprint.output(ModelShown)
def show_model(model: str) -> dict[str, Any]:
    """One name that a chat can ask for."""
    with state().reading() as session:
        for each in _models(session, state().settings):
            if each["id"] == model:
                return each
    raise NotFound(noun="model", id=model)


@blueprint.post("/v1/chat/completions")
@allows(Role.VIEWER)
@streams("With ``stream``: chunks, and ``[DONE]`` after the last of them.")
@refuses(404, 502, 503, 504)
@blueprint.input(ChatWanted, arg_name="wanted")
@blueprint.output(ChatAnswered)
def chat(wanted: ChatWanted) -> Response:
    """Answer a chat, whole or as a stream.

    The model's name is resolved once, so the answer comes wholly from one version, which the
    headers ``X-Academy-Adapter`` (an adapter's id, or ``base``) and ``X-Academy-Model`` name.
    """
    gateway = state().gateway
    resolved = gateway.resolve(wanted.model)
    payload: dict[str, Any] = json.loads(body_of(request))
    keep_of_body(len(json.dumps(payload)))
    if wanted.stream:
        stream = gateway.chat_stream(payload, resolved)
        answer: Response = Streamed(_server_sent(stream), headers=sse.HEADERS)
        # A response that is never iterated would leave the model server computing.
        answer.call_on_close(stream.close)
    else:
        answer = jsonify(gateway.chat(payload, resolved).body)
    answer.headers["X-Academy-Adapter"] = resolved.adapter_id or "base"
    answer.headers["X-Academy-Model"] = resolved.runtime_model
    return answer


def _server_sent(stream: ChatStream) -> Iterator[str]:
    """The chunks as OpenAI sends them; an error in mid-answer is the last one."""
    try:
        with stream:
            for chunk in stream:
                yield sse.json_event(chunk)
    except AcademyError as error:
        yield sse.json_event({"error": error_of(error)})
        return
    yield sse.DONE


def _models(session: Session, settings: Settings) -> list[dict[str, Any]]:
    moved = {each.name: each for each in adapters.aliases(session)}
    found = [_model("default", "alias", 0, None)] if "default" not in moved else []
    for alias in moved.values():
        created = int(alias.updated_at.timestamp())
        found.append(_model(alias.name, "alias", created, alias.adapter_id))
    found.append(_model(settings.models.base, "base", 0, None))
    for each in adapters.page(session, limit=_MOST_ADAPTERS):
        found.append(_model(each.id, "adapter", int(each.created_at.timestamp()), each.id))
    return found


def _model(name: str, kind: str, created: int, adapter_id: str | None) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "academy",
        "kind": kind,
        "adapter_id": adapter_id,
    }
