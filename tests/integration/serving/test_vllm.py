"""Academy in front of a vLLM server that the settings name: swaps, chats, streams, outages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from academy.cli.doctor.checks import check_model_servers
from academy.cli.doctor.findings import State
from academy.settings import Settings
from tests.integration.serving.conftest import KEY, Vllm
from tests.waiting import until

CHAT: dict[str, Any] = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def settings(settings: Settings, vllm: Vllm) -> Settings:
    """Two servers of two kinds: nobody listens at the first, the second is the double."""
    addresses = ("http://127.0.0.1:9", f"vllm+{vllm.url}/")
    return settings.changed(runtime_url=addresses, runtime_api_key=KEY)


@pytest.fixture
def client(served) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, without retries of its own."""
    url = f"http://{served.host}/v1"
    with openai.OpenAI(base_url=url, api_key=served.key, max_retries=0) as made:
        yield made


@pytest.fixture
def post(served) -> Callable[..., httpx.Response]:
    def post(path: str, **body: Any) -> httpx.Response:
        return httpx.post(served.url(path), json=body, headers=served.headers, timeout=60)

    return post


def text_of(client: openai.OpenAI, **more: Any) -> str | None:
    return client.chat.completions.create(**{**CHAT, **more}).choices[0].message.content


def status_of(served) -> dict[str, Any]:
    answer = httpx.get(served.url("/status"), headers=served.headers, timeout=60)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def test_a_swap_moves_chats_to_the_adapter_and_a_rollback_moves_them_back(
    served, client, post, vllm, adapter, settings
) -> None:
    first = client.chat.completions.with_raw_response.create(**CHAT)
    assert first.headers["X-Academy-Adapter"] == "base"
    assert first.parse().choices[0].message.content == "tiny hears hello"

    moved = post("/adapters/activate", adapter_id=adapter, reason="better")
    assert (moved.status_code, moved.json()["generation"]) == (200, 1), moved.text
    [load] = vllm.asked("/v1/load_lora_adapter")
    assert load["lora_name"] == adapter
    assert load.keys() == {"lora_name", "lora_path"}, "never in place"
    probe = vllm.asked("/v1/chat/completions")[-1]
    assert (probe["model"], probe["max_tokens"]) == (adapter, 1), "vLLM tells faults at first use"

    second = client.chat.completions.with_raw_response.create(**CHAT)
    assert second.headers["X-Academy-Adapter"] == adapter
    changed = second.parse().choices[0].message.content
    assert changed == f"{adapter} hears hello"
    chunks = list(client.chat.completions.create(**CHAT, stream=True))
    assert "".join(each.choices[0].delta.content or "" for each in chunks) == changed
    assert text_of(client, model="tiny") == "tiny hears hello"

    back = post("/adapters/deactivate", expected_generation=1)
    assert back.status_code == 200
    assert text_of(client) == "tiny hears hello"
    assert post("/adapters/activate", adapter_id=adapter).status_code == 200
    assert text_of(client) == changed
    assert len(vllm.asked("/v1/load_lora_adapter")) == 1, "it was still there"

    with pytest.raises(openai.UnprocessableEntityError, match="temperature"):
        client.chat.completions.create(**CHAT, temperature=2.0 + 1)
    body = status_of(served)
    assert body["components"]["model_manager"] is True
    shown = [(each["url"], each["kind"], each["state"]) for each in body["runtimes"]]
    assert shown == [
        ("http://127.0.0.1:9", "embedded", "unreachable"),
        (vllm.url, "vllm", "ready"),
    ]
    away, ready = check_model_servers(settings)
    assert (away.name, away.state) == ("model server http://127.0.0.1:9", State.MISSING)
    assert (ready.name, ready.state) == (f"model server {vllm.url}", State.OK)
    assert (ready.detail, ready.todo) == ("vllm, ready", "")
    other = settings.changed(runtime_url=(f"vllm+{vllm.url}",), base_model="smollm2")
    (found,) = check_model_servers(other)
    assert f"serves tiny, {adapter}, not smollm2" in found.detail


def test_after_a_restart_many_chats_bring_the_adapter_back_and_none_is_lost(
    client, post, vllm, adapter
) -> None:
    assert post("/adapters/activate", adapter_id=adapter).status_code == 200
    vllm.stop()
    vllm.start()
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: text_of(client), range(8)))
    assert texts == [f"{adapter} hears hello"] * 8


def test_a_server_that_goes_away_is_503_and_the_alias_stays(
    served, client, post, vllm, adapter
) -> None:
    assert post("/adapters/activate", adapter_id=adapter).status_code == 200
    vllm.stop()
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError, match="cannot be reached") as failed:
            client.chat.completions.create(**CHAT, stream=stream)
        assert failed.value.status_code == 503
        assert failed.value.body["code"] == "unavailable"
        assert int(failed.value.response.headers["Retry-After"]) >= 1
    again = post("/adapters/activate", adapter_id=adapter)
    assert (again.status_code, again.json()["code"]) == (503, "unavailable")
    aliases = httpx.get(served.url("/aliases"), headers=served.headers, timeout=20).json()
    assert [(each["adapter_id"], each["generation"]) for each in aliases["aliases"]] == [
        (adapter, 1)
    ]
    until(
        lambda: [each["state"] for each in status_of(served)["runtimes"]] == ["unreachable"] * 2,
        20,
        "the next look finds both away",
    )
    ready = httpx.get(f"http://{served.host}/readyz", timeout=20)
    assert ready.status_code == 200, "trainings go on without a model server"
    vllm.start()
    assert text_of(client) == f"{adapter} hears hello"


def test_an_answer_that_breaks_off_ends_with_an_error(served, vllm) -> None:
    body = {**CHAT, "messages": [{"role": "user", "content": "endless"}], "stream": True}
    url = f"http://{served.host}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=served.headers, timeout=60) as answer:
        lines = (line for line in answer.iter_lines() if line)
        next(lines)
        vllm.stop()
        *_, last = lines
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "unavailable"
