"""Adapters, aliases, and chats through the gateway to a real model server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from academy.access.keys import Role
from academy.settings import Settings
from academy.store.models import adapters
from academy.store.models.tables import Adapter
from tests.waiting import until

CHAT = {
    "model": "default",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 8,
    "temperature": 0,
}


class TestWithoutAModelServer:
    """What works, and what is said, while no model server answers."""

    def test_adapters_are_a_bare_array_with_a_link_to_the_rest(self, admin, adapter, sessions):
        with sessions.begin() as session:
            first = adapters.get(session, adapter)
            copy = {
                name: getattr(first, name)
                for name in ("digest", "key", "base_model", "parameters", "metrics", "code_version")
            }
            adapters.register(session, Adapter(id="training_two", **copy))
        answer = admin.get("/adapters?limit=1")
        assert [each["adapter_id"] for each in answer.json] == ["training_two"]
        rest = admin.get(answer.headers["Link"].split(">")[0].removeprefix("</api/v1/academy"))
        assert [each["adapter_id"] for each in rest.json] == [adapter]
        assert "Link" not in rest.headers
        shown = admin.get(f"/adapters/{adapter}").json
        assert shown["training_params"] == {"lora_rank": 16}
        assert (shown["is_active"], shown["aliases"]) == (False, [])
        assert Path(shown["adapter_path"]).is_dir()

    def test_activation_and_chat_are_503_and_the_alias_stays(self, admin, adapter):
        answer = admin.post("/adapters/activate", json={"adapter_id": adapter})
        assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
        assert admin.get("/aliases").json == {"count": 0, "aliases": []}
        for stream in (False, True):
            answer = admin.post("/v1/chat/completions", json={**CHAT, "stream": stream})
            assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) >= 1

    def test_an_adapter_path_that_is_not_the_adapters_own_is_refused(self, admin, adapter):
        answer = admin.post(
            "/adapters/activate", json={"adapter_id": adapter, "adapter_path": "/etc"}
        )
        assert answer.status_code == 422
        assert answer.json["errors"][0]["pointer"] == "/adapter_path"

    def test_an_alias_is_called_like_no_model_and_no_adapter(self, admin, adapter):
        for name in ("tiny", adapter):
            for path, more in (("activate", {"adapter_id": adapter}), ("deactivate", {})):
                answer = admin.post(f"/adapters/{path}", json={"alias": name, **more})
                assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/alias")
        assert admin.get("/aliases").json["count"] == 0

    def test_models_are_the_default_alias_the_base_model_and_adapters(self, admin, adapter):
        body = admin.get("/v1/models").json
        assert body["object"] == "list"
        assert [each["id"] for each in body["data"]] == ["default", "tiny", adapter]
        assert admin.get("/v1/models/tiny").json["kind"] == "base"
        assert admin.get("/v1/models/none").status_code == 404


class TestWithAModelServer:
    """Swaps and chats for real."""

    @pytest.fixture
    def settings(self, settings: Settings, model_server: str) -> Settings:
        return settings.changed(runtime_url=(model_server,))

    def test_a_swap_changes_the_answer_and_a_rollback_changes_it_back(
        self, served, trained, model_server
    ):
        def post(path: str, **body: Any) -> httpx.Response:
            return httpx.post(served.url(path), json=body, headers=served.headers, timeout=60)

        client = openai.OpenAI(base_url=f"http://{served.host}/v1", api_key=served.key)
        try:
            base = client.chat.completions.with_raw_response.create(**CHAT)
            assert base.headers["X-Academy-Adapter"] == "base"
            before = base.parse().choices[0].message.content
            moved = post("/adapters/activate", adapter_id=trained.id, reason="better")
            assert moved.status_code == 200, moved.text
            assert moved.json()["message"] == "Adapter activated successfully"
            assert (moved.json()["adapter_id"], moved.json()["generation"]) == (trained.id, 1)
            after = client.chat.completions.with_raw_response.create(**CHAT)
            assert after.headers["X-Academy-Adapter"] == trained.id
            changed = after.parse().choices[0].message.content
            assert changed != before
            chunks = list(client.chat.completions.create(**CHAT, stream=True))
            streamed = "".join(each.choices[0].delta.content or "" for each in chunks)
            assert streamed == changed
            named = client.chat.completions.create(**{**CHAT, "model": "tiny"})
            assert named.choices[0].message.content == before
            assert trained.id in [each.id for each in client.models.list()]

            stale = post("/adapters/deactivate", expected_generation=0)
            assert (stale.status_code, stale.json()["code"]) == (409, "conflict")
            httpx.post(  # as after a restart of the model server
                f"{model_server}/v1/unload_lora_adapter", json={"lora_name": trained.id}, timeout=60
            ).raise_for_status()
            again = client.chat.completions.create(**CHAT)
            assert again.choices[0].message.content == changed, "it is loaded again on demand"
            back = post("/adapters/deactivate", expected_generation=1)
            assert back.status_code == 200
            assert client.chat.completions.create(**CHAT).choices[0].message.content == before
            with pytest.raises(openai.NotFoundError, match="'nothing'"):
                client.chat.completions.create(**{**CHAT, "model": "nothing"})
            with pytest.raises(openai.UnprocessableEntityError, match="temperature"):
                client.chat.completions.create(**{**CHAT, "temperature": 9})
        finally:
            client.close()
        history = httpx.get(
            served.url("/aliases/default/history"), headers=served.headers, timeout=20
        ).json()
        assert [each["to_adapter_id"] for each in history["moves"]] == [None, trained.id]
        assert history["moves"][1]["reason"] == "better"
        assert history["moves"][1]["swap_seconds"] > 0

    def test_no_chat_is_lost_or_mixed_while_the_alias_moves(self, served, trained):
        answers: list[tuple[str, str]] = []
        failed: list[str] = []
        done = threading.Event()

        def chat() -> None:
            with httpx.Client(headers=served.headers, timeout=60) as http:
                while not done.is_set():
                    answer = http.post(f"http://{served.host}/v1/chat/completions", json=CHAT)
                    if answer.status_code != 200:
                        failed.append(answer.text)
                        return
                    text = answer.json()["choices"][0]["message"]["content"]
                    answers.append((answer.headers["X-Academy-Adapter"], text))

        threads = [threading.Thread(target=chat) for _ in range(8)]
        for each in threads:
            each.start()
        for _ in range(3):
            for path, body in (("activate", {"adapter_id": trained.id}), ("deactivate", {})):
                moved = httpx.post(
                    served.url(f"/adapters/{path}"), json=body, headers=served.headers, timeout=60
                )
                assert moved.status_code == 200, moved.text
                seen = len(answers)
                until(
                    lambda seen=seen: len(answers) >= seen + 16 or failed,  # type: ignore[misc]
                    30,
                    "sixteen more answers",
                    poll=0.01,
                )
        done.set()
        for each in threads:
            each.join(timeout=60)
        assert not failed
        assert {name for name, _ in answers} == {"base", trained.id}
        assert len({text for _, text in answers}) == len(set(answers)) == 2

    def test_a_viewer_may_chat(self, caller: Callable[[Role], Any]):
        answer = caller(Role.VIEWER).post("/v1/chat/completions", json=CHAT)
        assert answer.status_code == 200, answer.text
        stream = caller(Role.VIEWER).post("/v1/chat/completions", json={**CHAT, "stream": True})
        assert stream.mimetype == "text/event-stream"
        assert stream.text.endswith("data: [DONE]\n\n")
