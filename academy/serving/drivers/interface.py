"""What a model server must be able to do for Academy, whichever one it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol


@dataclass(frozen=True)
class AdapterRef:
    """One version of an adapter: a name of its own, where it lies, and its manifest's digest.

    The path must mean the same folder on the model server's machine.
    """

    name: str
    path: Path
    digest: str


@dataclass(frozen=True)
class ServedModel:
    """A model that can be asked for: the base model (`parent` is None) or an adapter on it."""

    name: str
    root: str  # the folder it was read from
    parent: str | None
    digest: str | None  # None for the base model, and where the server does not tell it


@dataclass(frozen=True)
class RuntimeHealth:
    """Whether a model server answers. `state` is ``ready``, or says what it does instead."""

    ready: bool
    state: str
    detail: str = ""


@dataclass(frozen=True)
class ChatAnswer:
    """A whole answer in OpenAI's shape, and the version that gave it (``base`` or a name)."""

    body: dict[str, Any]
    adapter: str

    @property
    def text(self) -> str:
        """The assistant's words."""
        return str(self.body["choices"][0]["message"]["content"] or "")

    @property
    def usage(self) -> dict[str, int]:
        """``prompt_tokens``, ``completion_tokens`` and ``total_tokens``."""
        return dict(self.body["usage"])


class ChatStream:
    """The chunks of a streamed answer, as dictionaries in OpenAI's shape.

    Iterate it to its end or close it (it is a context manager): closing tells the model server to
    stop computing. Iterating raises the typed error of an answer that broke off.
    """

    def __init__(
        self, adapter: str, chunks: Iterator[dict[str, Any]], close: Callable[[], None]
    ) -> None:
        self.adapter = adapter
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            yield from self._chunks
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening; harmless when done already."""
        self._close()

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RuntimeDriver(Protocol):
    """A model server. Every call has a time-out and raises `Unavailable` if nobody answers."""

    def health(self) -> RuntimeHealth:
        """Whether the server is ready; never raises."""
        ...

    def models(self) -> list[ServedModel]:
        """The base model and the loaded adapters."""
        ...

    def load(self, adapter: AdapterRef) -> bool:
        """Make a version ready to be asked for; False if it was ready already.

        Raises `AdapterConflict` when another version has the name, `DigestMismatch` when the
        files changed, and `AdapterUnfit` when they do not fit the base model.
        """
        ...

    def unload(self, name: str) -> bool:
        """Remove a version once its running requests have ended; False if it was not loaded."""
        ...

    def chat(self, payload: Mapping[str, Any], model: str) -> ChatAnswer:
        """Answer an OpenAI chat request by the named model (the payload's own name is ignored).

        Raises `AdapterNotLoaded`, `InvalidRequest`, `Busy`, or another of the server's errors.
        """
        ...

    def chat_stream(self, payload: Mapping[str, Any], model: str) -> ChatStream:
        """The same, as a stream. Errors before the first chunk are raised here."""
        ...

    def close(self) -> None:
        """Give back the connections."""
        ...
