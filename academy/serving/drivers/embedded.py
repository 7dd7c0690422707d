"""The driver of Academy's own model server (`python -m academy.runtime`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from academy.errors import Unavailable
from academy.runtime.errors import AdapterNotLoaded
from academy.serving.drivers.interface import (
    AdapterRef,
    ChatAnswer,
    ChatStream,
    RuntimeHealth,
    ServedModel,
)
from academy.serving.drivers.remote import Remote
from academy.serving.timeouts import LOAD_SECONDS, PROBE_SECONDS, UNLOAD_SECONDS


class EmbeddedDriver:
    """A `RuntimeDriver` for the embedded server at `base_url`.

    The server itself verifies digests, probes what it loads, and waits for running requests before
    it unloads.
    """

    def __init__(self, base_url: str) -> None:
        self._remote = Remote(base_url, headers={})

    def health(self) -> RuntimeHealth:
        """Whether the server is ready; never raises."""
        try:
            response = self._remote.get("/health", PROBE_SECONDS)
            body = response.json()
            state, detail = str(body["state"]), str(body["detail"])
        except Unavailable as error:
            return RuntimeHealth(False, "unreachable", str(error))
        except (ValueError, KeyError, TypeError):
            # A server of another kind answers its own way; then its address lacks the kind.
            detail = (
                "something else answers there; an address of another kind says it: KIND+http://"
            )
            return RuntimeHealth(False, "unknown", detail)
        return RuntimeHealth(response.status_code == 200, state, detail)

    def models(self) -> list[ServedModel]:
        """The base model and the loaded adapters."""
        return [
            ServedModel(each["id"], each["root"], each["parent"], each["digest"])
            for each in self._remote.listed()
        ]

    def load(self, adapter: AdapterRef) -> bool:
        """Make a version ready to be asked for; False if it was ready already."""
        body = {
            "lora_name": adapter.name,
            "lora_path": str(adapter.path),
            "digest": adapter.digest,
        }
        response = self._remote.post("/v1/load_lora_adapter", body, LOAD_SECONDS)
        if response.status_code != 200:
            raise self._remote.refusal(response, adapter.name)
        return bool(response.json()["loaded"])

    def unload(self, name: str) -> bool:
        """Remove a version once its running requests have ended; False if it was not loaded."""
        response = self._remote.post("/v1/unload_lora_adapter", {"lora_name": name}, UNLOAD_SECONDS)
        if response.status_code == 200:
            return True
        error = self._remote.refusal(response, name)
        if isinstance(error, AdapterNotLoaded):
            return False
        raise error

    def chat(self, payload: Mapping[str, Any], model: str) -> ChatAnswer:
        """Answer a chat request by the named model."""
        return self._remote.chat(payload, model)

    def chat_stream(self, payload: Mapping[str, Any], model: str) -> ChatStream:
        """Answer a chat request by the named model, in chunks."""
        return self._remote.chat_stream(payload, model)

    def close(self) -> None:
        """Give back the connections."""
        self._remote.close()
