"""The driver of a vLLM server with runtime LoRA loading.

Start vLLM with ``--enable-lora`` and ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=True``
(https://docs.vllm.ai/en/latest/features/lora.html). Every version is loaded under a name of its
own and never in place, because a reload under the same name can serve stale caches (vllm#42125).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from academy.artifacts.manifest import verify_manifest
from academy.errors import Unavailable
from academy.runtime.errors import AdapterConflict, AdapterNotLoaded, RuntimeRefused
from academy.serving.drivers.interface import (
    AdapterRef,
    ChatAnswer,
    ChatStream,
    RuntimeHealth,
    ServedModel,
)
from academy.serving.drivers.remote import Remote, Timeouts

_PROBE = {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1, "temperature": 0}


class VllmDriver:
    """A `RuntimeDriver` for a vLLM server at `base_url` (without ``/v1``)."""

    def __init__(
        self, base_url: str, *, api_key: str = "", timeouts: Timeouts | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._remote = Remote(base_url, timeouts or Timeouts(), headers)

    def health(self) -> RuntimeHealth:
        """Whether the server is ready; never raises. vLLM's `/health` has no body."""
        try:
            response = self._remote.get("/health", self._remote.timeouts.probe)
        except Unavailable as error:
            return RuntimeHealth(False, "unreachable", str(error))
        if response.status_code == 200:
            return RuntimeHealth(True, "ready")
        return RuntimeHealth(False, "failed", f"/health answers {response.status_code}")

    def models(self) -> list[ServedModel]:
        """The base model and the loaded adapters; vLLM knows no digests."""
        return [
            ServedModel(each["id"], str(each.get("root") or ""), each.get("parent"), None)
            for each in self._remote.listed()
        ]

    def load(self, adapter: AdapterRef) -> bool:
        """Make a version ready to be asked for; False if it was ready already.

        vLLM does not verify files, so they are verified here, where the same path must be visible;
        and it reports a bad adapter only when it is first used, so one token is asked of it.
        """
        verify_manifest(adapter.path, adapter.digest)
        there = {each.name: each for each in self.models()}.get(adapter.name)
        if there is not None:
            if there.root != str(adapter.path):
                raise AdapterConflict(
                    name=adapter.name, loaded=there.root, wanted=str(adapter.path)
                )
            return False
        body = {"lora_name": adapter.name, "lora_path": str(adapter.path)}
        response = self._remote.post("/v1/load_lora_adapter", body, self._remote.timeouts.load)
        if response.status_code == 404 and "lora" not in response.text.lower():
            raise RuntimeRefused(
                detail="it has no /v1/load_lora_adapter; start it with --enable-lora and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True",
                remote_code="not_found",
                remote_status=404,
            )
        if response.status_code != 200:
            raise self._remote.refusal(response, adapter.name)
        try:
            self.chat(_PROBE, adapter.name)
        except BaseException:
            self.unload(adapter.name)
            raise
        return True

    def unload(self, name: str) -> bool:
        """Remove a version; False if it was not loaded."""
        if name not in {each.name for each in self.models()}:
            return False
        response = self._remote.post(
            "/v1/unload_lora_adapter", {"lora_name": name}, self._remote.timeouts.unload
        )
        if response.status_code == 200:
            return True
        error = self._remote.refusal(response, name)
        if isinstance(error, AdapterNotLoaded):
            return False  # another process was faster
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
