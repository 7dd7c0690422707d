"""HTTP to a model server that speaks vLLM's addresses, and its errors as our own."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import httpx

from academy.artifacts.manifest import ManifestMissing
from academy.errors import AcademyError, DigestMismatch, InvalidRequest, Unavailable
from academy.runtime import errors
from academy.serving.drivers.interface import ChatAnswer, ChatStream
from academy.serving.timeouts import ANSWER_SECONDS, CONNECT_SECONDS, PROBE_SECONDS

ADAPTER_HEADER = "X-Academy-Adapter"
_CONNECTIONS = 256
#: Shorter than the embedded server keeps a connection, so that no request meets a closed one.
_KEEPALIVE_SECONDS = 30.0

#: Errors that the embedded server sends with their fields, so that the same one is raised here.
_TYPED: dict[str, type[AcademyError]] = {
    each.code: each
    for each in (
        DigestMismatch,
        InvalidRequest,
        ManifestMissing,
        errors.AdapterConflict,
        errors.AdapterNotLoaded,
        errors.AdapterUnfit,
        errors.Busy,
        errors.ModelFailed,
        errors.TimedOut,
        errors.TooManyAdapters,
    )
}


@cache
def _authorities() -> ssl.SSLContext:
    """Whose certificates are believed: reading them takes 40 ms and happens once."""
    return httpx.create_ssl_context(trust_env=False)


class Remote:
    """One model server, reached by httpx."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        self.url = base_url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url,
            headers=dict(headers),
            limits=httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_KEEPALIVE_SECONDS),
            # A proxy from the environment has no business between Academy and its model server.
            trust_env=False,
            verify=_authorities(),
        )

    def get(self, path: str, seconds: float) -> httpx.Response:
        """The answer, whatever its status. Raises `Unavailable`."""
        return self._send(self._client.build_request("GET", path, timeout=self._timeout(seconds)))

    def post(self, path: str, body: Mapping[str, Any], seconds: float) -> httpx.Response:
        """The answer, whatever its status. Raises `Unavailable`."""
        request = self._client.build_request(
            "POST", path, json=dict(body), timeout=self._timeout(seconds)
        )
        return self._send(request)

    def listed(self) -> list[dict[str, Any]]:
        """What `GET /v1/models` lists. Raises `Unavailable`."""
        response = self.get("/v1/models", PROBE_SECONDS)
        if response.status_code != 200:
            raise self.refusal(response, "")
        try:
            return [dict(each) for each in response.json()["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise self._stranger() from error

    def chat(self, payload: Mapping[str, Any], model: str) -> ChatAnswer:
        """A whole answer."""
        body = {**payload, "model": model, "stream": False}
        body.pop("stream_options", None)
        response = self.post("/v1/chat/completions", body, ANSWER_SECONDS)
        if response.status_code != 200:
            raise self.refusal(response, model)
        try:
            answer = dict(response.json())
        except (ValueError, TypeError) as error:
            raise self._stranger() from error
        return ChatAnswer(answer, response.headers.get(ADAPTER_HEADER, model))

    def chat_stream(self, payload: Mapping[str, Any], model: str) -> ChatStream:
        """An answer in chunks."""
        request = self._client.build_request(
            "POST",
            "/v1/chat/completions",
            json={**payload, "model": model, "stream": True},
            timeout=self._timeout(ANSWER_SECONDS),
        )
        response = self._send(request, stream=True)
        if response.status_code != 200:
            try:
                response.read()
            except httpx.HTTPError as error:
                raise self._unavailable(error) from error
            finally:
                response.close()
            raise self.refusal(response, model)
        adapter = response.headers.get(ADAPTER_HEADER, model)
        return ChatStream(adapter, self._chunks(response, model), response.close)

    def close(self) -> None:
        self._client.close()

    def refusal(self, response: httpx.Response, model: str) -> AcademyError:
        """The error that a refusing answer stands for."""
        try:
            body = response.json()
        except ValueError:
            body = None
        error = _described(body) or {"message": response.text[:500] or response.reason_phrase}
        retry_after = response.headers.get("Retry-After", "")
        return self._error(error, response.status_code, model, retry_after)

    def _chunks(self, response: httpx.Response, model: str) -> Iterator[dict[str, Any]]:
        try:
            for line in response.iter_lines():
                if not line.startswith("data:"):
                    continue
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    return
                chunk = json.loads(data)
                if not isinstance(chunk, dict):
                    raise self._stranger()
                if "error" in chunk:
                    error = _described(chunk) or {"message": str(chunk["error"])}
                    raise self._error(error, 500, model, "")
                yield chunk
        except (httpx.HTTPError, httpx.StreamError, ValueError) as error:
            raise self._unavailable(error) from error
        raise Unavailable(what=f"The model server {self.url}", why="its answer broke off")

    def _error(
        self, error: dict[str, Any], status: int, model: str, retry_after: str
    ) -> AcademyError:
        message, code = str(error.get("message", "no reason given")), str(error.get("code", ""))
        # The embedded server's message ends with the way out, and ours gets one of its own.
        message = message.removesuffix(str(error.get("next_step") or "")).rstrip()
        fields = error.get("fields")
        if code in _TYPED and isinstance(fields, dict):
            try:
                return _TYPED[code](**fields)
            except (TypeError, KeyError):
                pass  # a server of another version; its words are passed on below
        if status == 401:
            return errors.RuntimeRefused(
                detail=f"{self.url} asks for a key; set ACADEMY_RUNTIME_API_KEY to the one that it"
                f" was started with ({message})",
                remote_code=code,
                remote_status=status,
            )
        if status == 404:
            known = f"what GET {self.url}/v1/models lists ({message})"
            return errors.AdapterNotLoaded(name=model, known=known)
        if status in (400, 422):
            return InvalidRequest(detail=message)
        if status in (429, 503):
            seconds = int(retry_after) if retry_after.isdecimal() else 1
            return errors.Busy(why=message, retry_after_seconds=seconds)
        return errors.RuntimeRefused(detail=message, remote_code=code, remote_status=status)

    def _send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        try:
            return self._client.send(request, stream=stream)
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error

    def _stranger(self) -> Unavailable:
        return Unavailable(what=f"The model server {self.url}", why="something else answers there")

    def _unavailable(self, error: Exception) -> Unavailable:
        why = str(error) or type(error).__name__
        return Unavailable(what=f"The model server {self.url}", why=why)

    def _timeout(self, seconds: float) -> httpx.Timeout:
        return httpx.Timeout(seconds, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)


def _described(body: Any) -> dict[str, Any] | None:
    """The error object of a refusing body, bare or below ``error``; None if it has none."""
    error = body.get("error", body) if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None
