"""From a checked chat request to the tokens that the model reads."""

from __future__ import annotations

import threading

from jinja2 import TemplateError

from academy.errors import InvalidRequest
from academy.runtime.chat import ChatRequest
from academy.runtime.generation import Ask
from academy.runtime.inference_engine import InferenceEngine

#: Answers get so many tokens at most when the client names no limit and the context has room.
_DEFAULT_ANSWER_TOKENS = 1024

#: A tokenizer changes its own truncation state while it encodes, so one thread at a time.
_encoding = threading.Lock()


def ask_for(engine: InferenceEngine, chat: ChatRequest) -> Ask:
    """What the engine is to generate for a request.

    Raises `AdapterNotLoaded` for an unknown model, and `InvalidRequest` for a conversation that the
    chat template refuses or that leaves no room for an answer.
    """
    adapter = None if chat.model == engine.name else chat.model
    literal, tokenizer = engine.base.literal, engine.base.tokenizer
    if adapter is not None and engine.resident(adapter).files.tokenizer is not None:
        files = engine.resident(adapter).files
        literal, tokenizer = files.literal, files.tokenizer
    with _encoding:
        turns = literal.guarded([message.as_template() for message in chat.messages])
        try:
            text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        except TemplateError as error:
            raise _refused("messages", f"the model's chat template refuses them: {error}") from None
        prompt = tuple(literal.tokens(text))
    context = engine.base.context_tokens
    room = context - len(prompt)
    if room < 1:
        why = f"the conversation has {len(prompt)} tokens, and the model's context {context}"
        raise _refused("messages", why)
    if chat.limit is not None and chat.limit > room:
        why = f"{chat.limit} were asked for, and the conversation leaves room for {room}"
        raise _refused("max_tokens", why)
    return Ask(
        prompt=prompt,
        max_tokens=chat.limit or min(room, _DEFAULT_ANSWER_TOKENS),
        sampling=chat.sampling(engine.base.defaults),
        adapter=adapter,
        stop=tuple(chat.stop),
        stop_tokens=frozenset(chat.stop_token_ids or ()),
        ignore_eos=bool(chat.ignore_eos),
    )


def _refused(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        detail=f"{field}: {why}", errors=[{"pointer": f"/{field}", "detail": why}]
    )
