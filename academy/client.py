"""A client of Academy's HTTP API, in Python; the command line is made of it.

Every method is one request (`follow` is a stream of them) and returns the answer's JSON. Errors of
the server are raised as `ApiError` with the server's own words.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import httpx

from academy.errors import AcademyError, NotFound, Unavailable
from academy.wire.sending import BadProxy, quoted, require_address, require_key, require_sendable
from academy.wire.sse_reading import Event, read_events

BASE = "/api/v1/academy"
TERMINAL = frozenset({"finished", "failed", "cancelled"})
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
#: The server sends a ping every 20 s; a stream that is silent for longer is a dead connection.
_STREAM_TIMEOUT = httpx.Timeout(30.0, connect=5.0, read=60.0)
_MOST_RECONNECTS = 30
#: An event that is there is sent at once, so one that does not come for so long will not come.
_SILENT_SECONDS = 30.0
#: Errors of one answer that an `ApiError` names.
_MOST_ERRORS = 20


class ApiError(AcademyError):
    """{detail}"""

    def __init__(
        self,
        *,
        detail: str,
        code: str,
        status: int,
        next_step: str = "",
        problem: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail=detail, code=code, status=status, next_step=next_step)
        self.fields["problem"] = problem
        self.problem_code = code
        self.problem_status = status
        self.problem_next_step = next_step
        self.problem = problem or {}  # as the server sent it


class WaitedTooLong(AcademyError):
    """The job {job_id!r} is still {status} after {seconds:g} s."""

    code = "waited_too_long"
    next_step = "It goes on; watch it with `academy logs -f JOB`."


class Client:
    """One connection pool to one Academy. Use it as a context manager.

    Raises `BadAddress`, `BadKey` or `BadProxy` for what no request could be made with.
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = require_address(url, "The client's address")
        require_key(key, "the client")
        headers = {"Authorization": f"Bearer {key}", "User-Agent": "academy-client"}
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT)
        except (httpx.InvalidURL, ValueError, ImportError) as error:
            # Its words may repeat the proxy's address, which may hold a password.
            raise BadProxy(why=type(error).__name__) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: bytes | None = None,
        files: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> httpx.Response:
        """One request below ``/api/v1/academy`` (or to a path that starts with ``//``).

        Raises `ApiError` for an error answer, `Unavailable` if nobody answers, and `Unsendable` for
        what JSON or a query cannot carry.
        """
        where = path[1:] if path.startswith("//") else BASE + path
        given = {name: value for name, value in (params or {}).items() if value is not None}
        require_sendable(given, "")
        require_sendable(body, "")
        try:
            answer = self._http.request(
                method,
                where,
                json=body,
                content=content,
                files=files,
                params=given,
                headers=dict(headers or {}),
                timeout=_TIMEOUT if timeout_seconds is None else timeout_seconds,
            )
        except httpx.TransportError as error:
            raise Unavailable(what=self.url, why=str(error) or type(error).__name__) from error
        if answer.is_error:
            raise _problem(answer)
        return answer

    def get(self, path: str, **params: Any) -> Any:
        """The JSON behind a path; parameters that are None are left out."""
        return self.request("GET", path, params=params).json()

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """Send `body` as JSON (its None fields too) and return the answer's JSON."""
        return self.request("POST", path, body={} if body is None else body, **more).json()

    def post_lines(self, path: str, text: str) -> Any:
        """Send many objects at once, one JSON object a line (NDJSON)."""
        require_sendable(text, "The text")
        headers = {"Content-Type": "application/x-ndjson"}
        return self.request("POST", path, content=text.encode(), headers=headers).json()

    def ticket(self) -> str:
        """A one-time pass for a browser or a websocket."""
        return str(self.post("/tickets")["ticket"])

    def job(self, job_id: str) -> dict[str, Any]:
        """The state of a job of any kind."""
        found: dict[str, Any] = self.get(f"/jobs/{quoted('job', job_id)}/status")
        return found

    def preflight(self, body: dict[str, Any]) -> dict[str, Any]:
        """What a training would take; the first look at a large dataset takes a minute or two."""
        found: dict[str, Any] = self.post("/train/preflight", body, timeout_seconds=190.0)
        return found

    def sweep(self, sweep_id: str) -> dict[str, Any]:
        """A sweep with its trials and the best of them."""
        found: dict[str, Any] = self.get(f"/train/sweep/{quoted('sweep', sweep_id)}")
        return found

    def wait(self, job_id: str, timeout_seconds: float) -> dict[str, Any]:
        """Wait for a job's end; its last state. Raises `WaitedTooLong`."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            state = self.job(job_id)
            if state["status"] in TERMINAL:
                return state
            if time.monotonic() > deadline:
                status, seconds = state["status"], timeout_seconds
                raise WaitedTooLong(job_id=job_id, status=status, seconds=seconds)
            time.sleep(0.3)

    def curate(
        self,
        body: dict[str, Any],
        timeout_seconds: float = 900.0,
        on_queued: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """``POST /dataset`` and wait for its end; `on_queued` is told the id of its job."""
        answer = self.request(
            "POST", "/dataset", body=body, headers=_waiting(on_queued), timeout_seconds=60
        )
        return self._curated(answer, timeout_seconds, on_queued)

    def upload_dataset(
        self,
        path: Path,
        timeout_seconds: float = 1800.0,
        on_queued: Callable[[str], None] | None = None,
        /,
        **options: Any,
    ) -> dict[str, Any]:
        """``POST /datasets/upload``: make a dataset of a JSONL or Parquet file, and wait for it.

        The file is sent as it is read. `options` are those of the endpoint; None leaves one out.
        Raises `ApiError`, which names the bad lines of the file.
        """
        # A file's name may be any bytes; the header that carries it must be text.
        name = os.fsencode(path.name).decode("utf-8", "replace")
        with path.open("rb") as stream:
            answer = self.request(
                "POST",
                "/datasets/upload",
                files={"file": (name, stream)},
                params=options,
                headers=_waiting(on_queued),
                timeout_seconds=timeout_seconds,
            )
        found = self._curated(answer, timeout_seconds, on_queued)
        return {**answer.json(), **found}

    def diff_datasets(self, a: str, b: str, **options: Any) -> dict[str, Any]:
        """``GET /datasets/diff``: how dataset `b` differs from dataset `a`."""
        params = {"a": a, "b": b, **options}
        # The first comparison of two large datasets reads all of both.
        answer = self.request("GET", "/datasets/diff", params=params, timeout_seconds=1200)
        found: dict[str, Any] = answer.json()
        return found

    def download(self, path: str, out: BinaryIO, **params: Any) -> int:
        """Write what is behind a path to `out`, as it comes; how many bytes. Raises `ApiError`."""
        return self._download(path, out, params)[0]

    def download_adapter(self, adapter_id: str, out: BinaryIO, base: str | None = None) -> str:
        """Write an adapter's ``.tar.gz`` to `out`; the digest of the folder in it.

        With `base` the folder names its base model so. Raises `ApiError`.
        """
        path = f"/adapters/{quoted('adapter', adapter_id)}/download"
        digest: str | None = self._download(path, out, {"base": base})[1].get("X-Academy-Digest")
        if digest is None:
            raise Unavailable(what=self.url, why="its answer names no digest (X-Academy-Digest)")
        return digest

    def delete(self, path: str) -> dict[str, Any]:
        """Delete what is behind a path; the answer's JSON. Raises `ApiError`."""
        answer: dict[str, Any] = self.request("DELETE", path).json()
        return answer

    def _download(
        self, path: str, out: BinaryIO, params: Mapping[str, Any]
    ) -> tuple[int, httpx.Headers]:
        given = {name: value for name, value in params.items() if value is not None}
        require_sendable(given, "")
        written = 0
        try:
            with self._http.stream("GET", BASE + path, params=given) as answer:
                if answer.is_error:
                    answer.read()
                    raise _problem(answer)
                for chunk in answer.iter_bytes():
                    written += out.write(chunk)
        except httpx.TransportError as error:
            raise Unavailable(what=self.url, why=str(error) or type(error).__name__) from error
        return written, answer.headers

    def follow(self, job_id: str, after: str = "", *, pings: bool = False) -> Iterator[Event]:
        """A job's events from `after` on (an event's id) until its terminal status.

        A broken connection is taken up again where it broke, so every event comes once; an event
        ``reconnecting`` of our own tells of it, and with `pings` one tells that nothing is new.
        Raises `Unavailable` after 30 attempts in a row that brought nothing.
        """
        if not (after.isascii() and after.isprintable()):  # a header cannot carry it
            raise NotFound(noun="event", id=after)
        failures = 0
        while True:
            try:
                for event in self._events(job_id, after, pings):
                    # "connected" alone is no progress: a stream that ends at once brought nothing.
                    failures = 0 if event.id else failures
                    after = event.id or after
                    yield event
                    if event.type == "status" and event.data.get("status") in TERMINAL:
                        return
                why = "the stream ended before the job did"
            except (httpx.TransportError, httpx.StreamError) as error:
                why = str(error) or type(error).__name__
            failures += 1
            if failures == 1:
                yield Event("", "reconnecting", {"message": why})
            if failures > _MOST_RECONNECTS:
                raise Unavailable(what=f"the log of {job_id}", why=why)
            time.sleep(min(5.0, 0.1 * 2 ** min(failures, 6)))

    def history(self, job_id: str, after: str = "") -> Iterator[Event]:
        """A job's events from `after` on (an event's id) until the last that there is now.

        Raises `Unavailable` if the server names an event that it then does not send.
        """
        last = self.job(job_id)["last_event_id"]
        if last is None or _place(after) >= _place(last):
            return
        heard_at = time.monotonic()
        for event in self.follow(job_id, after, pings=True):
            if event.id:
                heard_at = time.monotonic()
                yield event
                if _place(event.id) >= _place(last):
                    return
            elif time.monotonic() - heard_at > _SILENT_SECONDS:
                raise Unavailable(what=f"the log of {job_id}", why=f"its event {last} is not sent")

    def chat(self, model: str, messages: list[dict[str, str]], **more: Any) -> Iterator[str]:
        """The pieces of an answer of ``/v1/chat/completions``, as they come."""
        body = {"model": model, "messages": messages, "stream": True, **more}
        require_sendable(body, "")
        timeout = httpx.Timeout(300.0, connect=5.0)
        try:
            with self._http.stream(
                "POST", "/v1/chat/completions", json=body, timeout=timeout
            ) as answer:
                if answer.is_error:
                    answer.read()
                    raise _problem(answer)
                for event in read_events(answer.iter_lines()):
                    yield _piece(event)
        except httpx.TransportError as error:
            raise Unavailable(what=self.url, why=str(error) or type(error).__name__) from error

    def _curated(
        self,
        answer: httpx.Response,
        timeout_seconds: float,
        on_queued: Callable[[str], None] | None,
    ) -> dict[str, Any]:
        """The dataset of a curation's answer, waited for if it is not there yet."""
        found: dict[str, Any] = answer.json()
        if answer.status_code == 202:
            if on_queued is not None:
                on_queued(found["job_id"])
            self.wait(found["job_id"], timeout_seconds)
            location = answer.headers["Location"]
            found = self.request("GET", location.removeprefix(self.url).removeprefix(BASE)).json()
        return found

    def _events(self, job_id: str, after: str, pings: bool) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream"}
        if after:
            headers["Last-Event-ID"] = after
        path = f"{BASE}/jobs/{quoted('job', job_id)}/logs/stream"
        with self._http.stream("GET", path, headers=headers, timeout=_STREAM_TIMEOUT) as answer:
            if answer.status_code in {502, 503, 504}:  # restarting: the caller tries again
                raise httpx.RemoteProtocolError(f"HTTP {answer.status_code}")
            if answer.is_error:
                answer.read()
                raise _problem(answer)
            yield from read_events(answer.iter_lines(), pings=pings)


def _waiting(on_queued: Callable[[str], None] | None) -> dict[str, str]:
    """How long the server waits for a dataset: not long where the job's id is waited for."""
    return {"Prefer": "wait=25" if on_queued is None else "wait=1"}


def _piece(event: Event) -> str:
    """What an event of a chat adds to the answer. Raises `ApiError`."""
    if "error" in event.data:
        raise ApiError(detail=str(event.data["error"].get("message")), code="chat", status=502)
    pieces = [each.get("delta", {}).get("content") for each in event.data.get("choices", [])]
    return "".join(each or "" for each in pieces)


def _problem(answer: httpx.Response) -> ApiError:
    """The server's problem+json in words, with each named field."""
    try:
        found = answer.json()
    except ValueError:
        found = {}
    if not isinstance(found, dict):
        found = {}
    detail = str(found.get("detail") or found.get("title") or f"HTTP {answer.status_code}")
    errors = found.get("errors") or []
    for each in errors[:_MOST_ERRORS]:
        line = f"line {each['line']} " if each.get("line") else ""
        where = f"{line}{each.get('pointer') or ''}".strip()
        detail += f"\n  {where}: {each.get('detail') or each.get('message') or each}"
    if len(errors) > _MOST_ERRORS:
        detail += f"\n  and {len(errors) - _MOST_ERRORS} more"
    return ApiError(
        detail=detail,
        code=str(found.get("code", "http_error")),
        status=answer.status_code,
        next_step=str(found.get("next_step", "")),
        problem=found,
    )


def _place(event_id: str) -> tuple[int, int]:
    """An event's place among those of its job: its attempt and number; before all for none.

    Raises `NotFound` for what is no event's id.
    """
    attempt, _, number = (event_id or "0-0").partition("-")
    if not all(
        each.isascii() and each.isdecimal() and len(each) < 20 for each in (attempt, number)
    ):
        raise NotFound(noun="event", id=event_id)
    return int(attempt), int(number)
