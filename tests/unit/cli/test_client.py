"""The client follows a job through broken connections and tells errors in the server's words."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import academy.client
from academy.client import ApiError, Client
from academy.embedded.home import NoKey, address_of, key_of_home
from academy.errors import NotFound, Unavailable
from academy.settings import Settings
from academy.wire.sending import BadAddress, BadKey, BadProxy

#: What a request gets: a status and a body.
Reply = Callable[[BaseHTTPRequestHandler], tuple[int, str]]


@pytest.fixture
def serve() -> Iterator[Callable[[Reply], str]]:
    """A small real HTTP server that answers every request by `reply`."""
    servers: list[ThreadingHTTPServer] = []

    def start(reply: Reply) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                status, body = reply(self)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Location", "/api/v1/academy/result")
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """A test's output is no place for an access log."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def event(number: int, **data: Any) -> str:
    return f"id: 1-{number}\ndata: {json.dumps({'type': 'log', **data})}\n\n"


def test_a_stream_that_breaks_is_taken_up_where_it_broke(serve: Callable[[Reply], str]) -> None:
    asked: list[str | None] = []

    def reply(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        asked.append(request.headers.get("Last-Event-ID"))
        hello = 'data: {"type": "connected"}\n\n'
        match len(asked):
            case 1:
                return 200, hello + event(1, message="a") + event(2, message="b")
            case 2:
                return 503, "{}"
            case 3:
                return 200, hello + ": ping\n\n"
            case _:
                end = {"type": "status", "status": "finished"}
                return 200, hello + event(3, message="c") + event(4, **end)

    with Client(serve(reply), "k") as client:
        events = list(client.follow("job"))
    assert [each.id for each in events if each.id] == ["1-1", "1-2", "1-3", "1-4"]
    assert asked == [None, "1-2", "1-2", "1-2"]
    assert events[-1].data["status"] == "finished"
    assert sum(each.type == "reconnecting" for each in events) == 1


def test_a_history_ends_with_the_last_event_that_there_is(serve: Callable[[Reply], str]) -> None:
    hello = 'data: {"type": "connected"}\n\n'

    def reply(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        if request.path.endswith("/status"):
            return 200, json.dumps({"last_event_id": "1-2"})
        return 200, hello + event(1, message="a") + event(2, message="b") + event(3, message="c")

    with Client(serve(reply), "k") as client:
        assert [each.id for each in client.history("job")] == ["1-1", "1-2"]
        assert list(client.history("job", "1-2")) == []
        for bad in ("1-x", "x", "-1", "1-" + "9" * 30, "1-²"):
            with pytest.raises(NotFound, match="no event"):
                list(client.history("job", bad))


def test_a_job_that_said_nothing_has_no_history(serve: Callable[[Reply], str]) -> None:
    with Client(serve(lambda request: (200, '{"last_event_id": null}')), "k") as client:
        assert list(client.history("job")) == []


def test_an_event_that_is_named_and_never_sent_is_not_waited_for_forever(
    serve: Callable[[Reply], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(academy.client, "_SILENT_SECONDS", 0.0)

    def reply(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        if request.path.endswith("/status"):
            return 200, json.dumps({"last_event_id": "1-9"})
        return 200, event(1, message="a") + ": ping\n\n: ping\n\n"

    with (
        Client(serve(reply), "k") as client,
        pytest.raises(Unavailable, match="its event 1-9 is not sent"),
    ):
        list(client.history("job"))


def test_who_waits_for_a_dataset_can_be_told_its_job_at_once(serve: Callable[[Reply], str]) -> None:
    asked: list[tuple[str, str | None]] = []

    def reply(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        asked.append((request.path.rpartition("/")[2], request.headers.get("Prefer")))
        if request.path.endswith("/dataset"):
            return 202, json.dumps({"job_id": "curation_1"})
        if request.path.endswith("/status"):
            return 200, json.dumps({"status": "finished"})
        return 200, json.dumps({"dataset_id": "d"})

    queued: list[str] = []
    with Client(serve(reply), "k") as client:
        assert client.curate({}, on_queued=queued.append) == {"dataset_id": "d"}
    assert queued == ["curation_1"]
    assert asked == [("dataset", "wait=1"), ("status", None), ("result", None)]


def test_a_job_that_does_not_exist_is_not_asked_for_twice(serve: Callable[[Reply], str]) -> None:
    asked = []

    def reply(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        asked.append(request.path)
        return 404, json.dumps(
            {"detail": "There is no job 'x'.", "code": "not_found", "next_step": "List them."}
        )

    with Client(serve(reply), "k") as client, pytest.raises(ApiError) as caught:
        list(client.follow("x"))
    assert str(caught.value) == "There is no job 'x'."
    assert (caught.value.problem_status, caught.value.problem_code) == (404, "not_found")
    assert caught.value.problem_next_step == "List them."
    assert len(asked) == 1


def test_a_refusal_names_each_field(serve: Callable[[Reply], str]) -> None:
    problem = {
        "detail": "Two fields are wrong.",
        "errors": [{"pointer": "/lora_rank", "detail": "must be at most 512"}],
    }
    with (
        Client(serve(lambda request: (422, json.dumps(problem))), "k") as client,
        pytest.raises(ApiError, match=r"Two fields are wrong\.\n  /lora_rank: must be at most 512"),
    ):
        client.post("/train", {"lora_rank": 999})


def test_an_error_page_that_is_no_json_is_told_by_its_status(serve: Callable[[Reply], str]) -> None:
    with (
        Client(serve(lambda request: (502, "<html>")), "k") as client,
        pytest.raises(ApiError, match="HTTP 502"),
    ):
        client.get("/jobs")


def test_nobody_listening_is_unavailable(free_port: int) -> None:
    with (
        Client(f"http://127.0.0.1:{free_port}", "k") as client,
        pytest.raises(Unavailable, match=f"http://127.0.0.1:{free_port} cannot be reached"),
    ):
        client.get("/jobs")


def test_a_chat_gives_the_pieces_as_they_come(serve: Callable[[Reply], str]) -> None:
    pieces = ["Hel", "lo", ""]
    lines = [json.dumps({"choices": [{"delta": {"content": each}}]}) for each in pieces]
    stream = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
    with Client(serve(lambda request: (200, stream)), "k") as client:
        said = list(client.chat("default", [{"role": "user", "content": "Hi"}]))
    assert "".join(said) == "Hello"


def test_the_key_comes_from_the_home(tmp_path: Path) -> None:
    with pytest.raises(NoKey, match=r"admin\.key"):
        key_of_home(tmp_path)
    (tmp_path / "admin.key").write_text("aca_x\n")
    assert key_of_home(tmp_path) == "aca_x"


def test_a_client_is_not_made_with_what_no_request_can_carry() -> None:
    with pytest.raises(BadAddress, match="The client's address"):
        Client("nonsense", "k")
    with pytest.raises(BadKey):
        Client("http://x", "k\n")


@pytest.mark.parametrize("proxy", ["http://me:geheim@[::1", "gopher://me:geheim@x", "socks5://x"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(BadProxy) as caught:
        Client("http://x", "k")
    assert "geheim" not in str(caught.value) and "ALL_PROXY" in caught.value.next_step


def test_a_file_of_any_name_is_uploaded(serve: Callable[[Reply], str], tmp_path: Path) -> None:
    path = tmp_path / "ro\udcffws.jsonl"
    path.write_text("{}")
    with Client(serve(lambda request: (200, '{"job_id": "x"}')), "k") as client:
        assert client.upload_dataset(path) == {"job_id": "x"}


def test_an_event_that_no_header_can_name_is_not_waited_for() -> None:
    with Client("http://127.0.0.1:9", "k") as client, pytest.raises(NotFound, match="no event"):
        list(client.follow("job", "1-ü"))


def test_the_address_is_the_set_one_else_that_of_the_settings(tmp_path: Path) -> None:
    home = {"ACADEMY_HOME": str(tmp_path), "ACADEMY_PORT": "8123"}
    assert address_of(Settings.from_env(home)) == "http://127.0.0.1:8123"
    assert address_of(Settings.from_env({**home, "ACADEMY_URL": "http://x"})) == "http://x"


def test_the_address_of_a_server_that_listens_on_ipv6_is_one_that_can_be_read(
    tmp_path: Path,
) -> None:
    home = {"ACADEMY_HOME": str(tmp_path), "ACADEMY_HOST": "::", "ACADEMY_PORT": "8123"}
    assert address_of(Settings.from_env(home)) == "http://[::1]:8123"
