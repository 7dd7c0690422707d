"""`POST /v1/chat/completions`: whole answers and streams of chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from flask import Blueprint, Response, jsonify, request

from academy.errors import AcademyError
from academy.runtime.answers import Head, problem
from academy.runtime.bodies import json_body
from academy.runtime.chat import ChatRequest, parse_chat
from academy.runtime.connection import client_is_gone
from academy.runtime.generation import Finished, Generation, Piece
from academy.runtime.inference_engine import InferenceEngine
from academy.runtime.prompts import ask_for
from academy.wire.sse import DONE, HEADERS, json_event

#: Which version answered: the adapter's name, or ``base``.
ADAPTER_HEADER = "X-Academy-Adapter"

_POLL_SECONDS = 0.25


class ClientGone(AcademyError):
    """The client closed its connection before the answer was ready."""

    code = "client_gone"
    status = 499  # nginx's number for this; only a log ever sees it
    next_step = "Nothing needs to be done."


def completions(engine: InferenceEngine) -> Blueprint:
    """The view for chats with `engine`."""
    views = Blueprint("completions", __name__)

    @views.post("/v1/chat/completions")
    def chat_completions() -> Response:
        chat = parse_chat(json_body())
        generation = engine.submit(ask_for(engine, chat))
        head = _head(engine, generation, chat.model)
        events = _events(generation, request.environ)
        if chat.stream:
            # The first event is awaited here, so that a refusal still has its own status.
            first = next(events)
            response = Response(_stream(events, first, head, chat), headers=HEADERS)
        else:
            response = jsonify(_whole(events, head))
        response.headers[ADAPTER_HEADER] = generation.ask.adapter or "base"
        return response

    return views


def _head(engine: InferenceEngine, generation: Generation, model: str) -> Head:
    return Head(model=model, fingerprint=generation.digest or engine.name)


def _whole(events: Iterator[Piece | Finished], head: Head) -> dict[str, Any]:
    texts: list[str] = []
    for each in events:
        if isinstance(each, Finished):
            return head.completion("".join(texts), each)
        texts.append(each.text)
    raise AcademyError(detail="a generation ended without saying so")


def _stream(
    events: Iterator[Piece | Finished], first: Piece | Finished, head: Head, chat: ChatRequest
) -> Iterator[str]:
    later = chat.wants_usage
    with closing(events):  # type: ignore[type-var]  # it is a generator
        try:
            yield json_event(head.chunk({"role": "assistant", "content": ""}, usage_null=later))
            each = first
            while isinstance(each, Piece):
                yield json_event(head.chunk({"content": each.text}, usage_null=later))
                each = next(events)
            yield json_event(head.chunk({}, each.reason, usage_null=later))
            if later:
                yield json_event(head.usage_chunk(each))
            yield DONE
        except AcademyError as error:
            # The status was sent long ago; OpenAI's clients raise on an event with an error.
            yield json_event(problem(error))


def _events(generation: Generation, environ: dict[str, Any]) -> Iterator[Piece | Finished]:
    """The events of a generation, which is cancelled as soon as nobody listens any more."""
    looked = time.monotonic()
    try:
        for each in generation.events(_POLL_SECONDS):
            if time.monotonic() - looked > _POLL_SECONDS:
                if client_is_gone(environ):
                    raise ClientGone
                looked = time.monotonic()
            if each is not None:
                yield each
    finally:
        generation.cancel()
