"""The server speaks OpenAI's protocol to real clients over real connections."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from academy.serving.drivers import AdapterRef, EmbeddedDriver
from tests.integration.servers import Served

from .conftest import wait_for_running

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
LONG = {"model": "tiny", "messages": HELLO, "max_tokens": 8000, "ignore_eos": True}


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    """The official client, which knows nothing of Academy."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def loaded(server: Served, red: AdapterRef) -> Iterator[str]:
    """The name of an adapter that is loaded during the test."""
    driver = EmbeddedDriver(server.url)
    driver.load(red)
    yield red.name
    driver.unload(red.name)
    driver.close()


def test_openai_s_client_gets_a_whole_answer(client: openai.OpenAI, loaded: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=loaded, messages=HELLO, max_tokens=9, temperature=0, user="alice"
    )
    answer = raw.parse()
    assert raw.headers["X-Academy-Adapter"] == loaded
    assert answer.model == loaded
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 9
    assert answer.usage.total_tokens == 9 + answer.usage.prompt_tokens


def test_openai_s_client_streams_the_same_answer(client: openai.OpenAI, loaded: str) -> None:
    asked: dict[str, Any] = {"model": loaded, "messages": HELLO, "max_tokens": 30}
    whole = client.chat.completions.create(**asked, temperature=0)
    chunks = list(
        client.chat.completions.create(
            **asked, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    parts = [each for each in chunks if each.choices]
    text = "".join(each.choices[0].delta.content or "" for each in parts)
    assert text == whole.choices[0].message.content
    assert [each.choices[0].finish_reason for each in parts][-1] == "length"
    assert parts[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage == whole.usage
    assert len({each.id for each in chunks}) == 1


@pytest.mark.parametrize("form", ["text", "parts"])
def test_markers_in_a_message_are_text_to_the_model(
    client: openai.OpenAI, loaded: str, form: str
) -> None:
    def prompt_tokens(*words: str) -> int:
        text = " ".join(words)
        content: Any = text if form == "text" else [{"type": "text", "text": text}]
        answer = client.chat.completions.create(
            model=loaded, messages=[{"role": "user", "content": content}], max_tokens=1
        )
        assert answer.usage is not None
        return answer.usage.prompt_tokens

    # Each letter of a marker is a token to this tokenizer, or several are; a marker would be one.
    assert prompt_tokens("say", "<|im_end|>", "<|im_start|>") > prompt_tokens("say", "a", "b") + 6


def test_models_are_listed_with_their_origin(
    client: openai.OpenAI, server: Served, red: AdapterRef, loaded: str
) -> None:
    assert [each.id for each in client.models.list()] == ["tiny", loaded]
    _, adapter = httpx.get(f"{server.url}/v1/models").json()["data"]
    assert adapter["parent"] == "tiny"
    assert adapter["root"] == str(red.path)
    assert adapter["digest"] == red.digest


def test_an_unknown_model_is_openai_s_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="nobody", messages=HELLO)
    assert refused.value.code == "adapter_not_loaded"
    assert "tiny" in str(refused.value)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "list"),
        ({"messages": HELLO}, 422, "model"),
        ({"model": "tiny", "messages": HELLO, "n": 2}, 422, "n:"),
        ({"model": "tiny", "messages": HELLO, "colour": 1}, 422, "colour"),
        ({"model": "tiny", "messages": HELLO, "max_tokens": 9000}, 422, "room for"),
        ({"model": "tiny", "messages": [{"role": "user", "content": "x" * 9000}]}, 422, "context"),
    ],
)
def test_a_bad_request_is_refused_by_name(
    server: Served, body: Any, status: int, named: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == "invalid_request"
    assert named in answer.json()["error"]["message"]


def test_unknown_addresses_and_methods_are_refused_in_the_same_shape(server: Served) -> None:
    assert httpx.get(f"{server.url}/v2/none").json()["error"]["code"] == "invalid_request"
    assert httpx.get(f"{server.url}/v1/chat/completions").status_code == 405


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"lora_name": "a b"}, 422, "invalid_request"),
        ({"lora_path": "/nonexistent"}, 422, "invalid_request"),
        ({"lora_path": "/tmp/\0"}, 422, "invalid_request"),
        ({"lora_path": "/" + "x" * 4000}, 422, "invalid_request"),
        ({"lora_path": "/" + "x" * 5000}, 422, "invalid_request"),
        ({"lora_path": "\ud800"}, 400, "invalid_request"),
        ({"lora_name": "\ud800"}, 400, "invalid_request"),
        ({"digest": "sha256:" + "0" * 64}, 409, "digest_mismatch"),
        ({"digest": "md5:1"}, 422, "invalid_request"),
        ({"load_inplace": True}, 422, "invalid_request"),
        ({"lora_name": "tiny"}, 409, "adapter_conflict"),
    ],
)
def test_a_bad_load_is_refused_and_loads_nothing(
    server: Served, red: AdapterRef, change: dict[str, Any], status: int, code: str
) -> None:
    body = {"lora_name": "fresh", "lora_path": str(red.path), "digest": red.digest}
    answer = httpx.post(
        f"{server.url}/v1/load_lora_adapter",
        content=json.dumps({**body, **change}),  # httpx itself writes no half characters
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    listed = httpx.get(f"{server.url}/v1/models").json()["data"]
    assert [each["id"] for each in listed] == ["tiny"]


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        "{}",
        '{"schema_version": 1}',
        '{"schema_version": 1, "digest": 7, "files": []}',
        "[" * 9999,
    ],
)
def test_an_adapter_with_a_damaged_manifest_is_refused(
    server: Served, red: AdapterRef, tmp_path: Path, manifest: str
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(red.path, folder)
    (folder / "manifest.json").write_text(manifest)
    body = {"lora_name": "fresh", "lora_path": str(folder)}
    answer = httpx.post(f"{server.url}/v1/load_lora_adapter", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "manifest_missing")


@pytest.mark.parametrize(
    "content",
    [
        rb'{"model": "tiny", "messages": [{"role": "user", "content": "\ud800"}]}',
        rb'{"model": "tiny", "model": "tiny", "messages": []}',
        b"[" * 100_000,
        b'{"seed": ' + b"9" * 5000 + b"}",
        b'{"temperature": NaN}',
        b"\xff",
    ],
)
def test_what_is_no_strict_json_is_refused(server: Served, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_a_client_that_leaves_a_stream_frees_its_place(server: Served) -> None:
    with (
        httpx.Client(timeout=20) as client,
        client.stream(
            "POST", f"{server.url}/v1/chat/completions", json={**LONG, "stream": True}
        ) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        wait_for_running(server, 1)
    wait_for_running(server, 0)


def test_a_client_that_leaves_before_the_answer_frees_its_place(server: Served) -> None:
    body = json.dumps(LONG).encode()
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
        raw.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        wait_for_running(server, 1)
    wait_for_running(server, 0)
