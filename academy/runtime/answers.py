"""OpenAI's answer shapes: completions, chunks, models and errors. Standard library only."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from academy.errors import AcademyError
from academy.runtime.generation import Finished
from academy.wire.openai_error import error_of


@dataclass(frozen=True)
class Head:
    """What all parts of one answer share."""

    model: str
    fingerprint: str  # the digest of the adapter, or the base model's name
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, text: str, finished: Finished) -> dict[str, Any]:
        """A whole answer."""
        message = {"role": "assistant", "content": text, "refusal": None}
        return {
            **self._envelope("chat.completion"),
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": finished.reason,
                }
            ],
            "usage": usage(finished),
        }

    def chunk(
        self, delta: dict[str, str], reason: str | None = None, *, usage_null: bool = False
    ) -> dict[str, Any]:
        """A part of a streamed answer; with `usage_null` the counts come in a later one."""
        body = {
            **self._envelope("chat.completion.chunk"),
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
        }
        return {**body, "usage": None} if usage_null else body

    def usage_chunk(self, finished: Finished) -> dict[str, Any]:
        """The last chunk of a stream whose client asked for the counts."""
        return {
            **self._envelope("chat.completion.chunk"),
            "choices": [],
            "usage": usage(finished),
        }

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


def usage(finished: Finished) -> dict[str, int]:
    """Token counts; the token that ended the answer is counted too."""
    return {
        "prompt_tokens": finished.prompt_tokens,
        "completion_tokens": finished.tokens,
        "total_tokens": finished.prompt_tokens + finished.tokens,
    }


def problem(error: AcademyError, status: int | None = None) -> dict[str, Any]:
    """OpenAI's error. With `next_step` and `fields` a driver raises the same one on its side."""
    told = {"next_step": error.next_step, "fields": error.fields}
    return {"error": {**error_of(error, status), **told}}
