"""The driver of a vLLM server with runtime LoRA loading.

Start vLLM with ``--enable-lora`` and ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=True``
(https://docs.vllm.ai/en/latest/features/lora.html). Every version is loaded under a name of its
own and never in place, because a reload under the same name can serve stale caches (vllm#42125).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from academy.artifacts.manifest import verify_manifest
from academy.errors import AcademyError, Unavailable
from academy.runtime.errors import AdapterConflict, AdapterNotLoaded, RuntimeRefused
from academy.serving.drivers.interface import (
    AdapterRef,
    ChatAnswer,
    ChatStream,
    RuntimeHealth,
    ServedModel,
)
from academy.serving.drivers.remote import Remote
from academy.serving.timeouts import LOAD_SECONDS, PROBE_SECONDS, UNLOAD_SECONDS

_PROBE = {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1, "temperature": 0}


class VllmDriver:
    """A `RuntimeDriver` for a vLLM server at `base_url` (without ``/v1``)."""

    def __init__(self, base_url: str, *, api_key: str = "") -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._remote = Remote(base_url, headers)

    def health(self) -> RuntimeHealth:
        """Whether the server is ready; never raises.

        vLLM's `/health` has no body and asks for no key, so the list of models, which wants the
        key, is asked for too.
        """
        try:
            response = self._remote.get("/health", PROBE_SECONDS)
            if response.status_code != 200:
                return RuntimeHealth(False, "failed", f"/health answers {response.status_code}")
            self._remote.listed()
        except Unavailable as error:
            return RuntimeHealth(False, "unreachable", str(error))
        except AcademyError as error:
            return RuntimeHealth(False, "refused", str(error))
        return RuntimeHealth(True, "ready")

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
        if self._has(adapter):
            return False
        body = {"lora_name": adapter.name, "lora_path": str(adapter.path)}
        response = self._remote.post("/v1/load_lora_adapter", body, LOAD_SECONDS)
        if response.status_code != 200:
            # vLLM refuses a name that it has. Where another process was faster, all is well.
            if response.status_code == 400 and self._has(adapter):
                return False
            raise self._not_loaded(response, adapter)
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
        response = self._remote.post("/v1/unload_lora_adapter", {"lora_name": name}, UNLOAD_SECONDS)
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

    def _has(self, adapter: AdapterRef) -> bool:
        """Whether this very version is loaded. Raises `AdapterConflict` for another one."""
        there = {each.name: each for each in self.models()}.get(adapter.name)
        if there is None:
            return False
        if there.root != str(adapter.path):
            raise AdapterConflict(name=adapter.name, loaded=there.root, wanted=str(adapter.path))
        return True

    def _not_loaded(self, response: httpx.Response, adapter: AdapterRef) -> AcademyError:
        error = self._remote.refusal(response, adapter.name)
        if response.status_code != 404:
            return error
        if "lora" not in response.text.lower():
            detail = (
                "it has no /v1/load_lora_adapter; start it with --enable-lora and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
            )
        else:
            detail = (
                f"it does not find the adapter's folder {adapter.path}, which has to be there on "
                "its machine too"
            )
        return RuntimeRefused(detail=detail, remote_code="not_found", remote_status=404)
