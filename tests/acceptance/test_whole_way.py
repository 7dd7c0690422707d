"""From lessons and a git history to a better model, with real clients of every kind."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import httpx
import openai
import psycopg
import pytest
from websockets.sync.client import connect

from academy.wire.sse_reading import read_events
from tests.acceptance.answers import answered

RECIPE = {
    "num_epochs": 100,
    "batch_size": 4,
    "learning_rate": 5e-3,
    "max_eval_rows": 16,
    "max_seq_length": 256,
}
QUESTION = [{"role": "user", "content": "pip install fails with a checksum mismatch"}]


@pytest.fixture(scope="module")
def adapter_id(stack, http: httpx.Client, dataset_id: str) -> str:
    """A training whose worker was killed in the middle; resumed and finished."""
    wanted = {**RECIPE, "dataset_id": dataset_id, "max_steps": 150, "checkpoint_interval_steps": 10}
    job_id = str(answered(http.post("/train", json=wanted), 202)["job_id"])

    def state() -> dict[str, Any]:
        return answered(http.get(f"/train/{job_id}/status"))

    def has_progressed() -> bool:
        latest = answered(http.get(f"/train/{job_id}/checkpoints"))["latest"]
        return latest is not None and latest["step"] >= 20

    stack.until(has_progressed, "a checkpoint past step 20")
    os.kill(stack.child("worker-gpu"), signal.SIGKILL)
    stack.until(lambda: state()["finished_at"], "the killed training's end", 240)
    ended = state()
    assert ended["status"] == "finished", ended
    assert ended["attempt"] == 2
    return job_id


def test_a_killed_worker_costs_at_most_what_came_after_the_last_checkpoint(
    stack, http: httpx.Client, adapter_id: str
) -> None:
    with psycopg.connect(stack.database_url(), connect_timeout=10) as connection:
        rows = connection.execute(
            "SELECT to_status, reason, attempt FROM job_transitions WHERE job_id = %s ORDER BY id",
            (adapter_id,),
        ).fetchall()
    assert [row[0] for row in rows] == [
        "queued",
        "preparing",
        "running",
        "queued",
        "preparing",
        "running",
        "finished",
    ]
    assert rows[3][1] == "lease_lost"
    # The second attempt went on where a checkpoint was, not at the beginning.
    events = followed(http, adapter_id)
    first_step = next(
        event["step"]
        for event in events
        if event["type"] == "metrics" and event["id"].startswith("2-")
    )
    assert first_step > 20


def followed(http: httpx.Client, job_id: str, after: str = "") -> list[dict[str, Any]]:
    """What an SSE watcher gets until the stream ends."""
    headers = {"Last-Event-ID": after} if after else {}
    with http.stream("GET", f"/train/{job_id}/logs/stream", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [
            {"id": event.id, "type": event.type, **event.data}
            for event in read_events(answer.iter_lines())
            if event.id
        ]


def socket_events(stack, job_id: str, after: str = "", most: int = 10**9) -> list[dict[str, Any]]:
    """What a websocket watcher gets until `most` events came or the server closed."""
    url = f"{stack.url.replace('http', 'ws', 1)}/api/v1/academy/train/{job_id}/logs/ws"
    found: list[dict[str, Any]] = []
    with connect(
        url + (f"?after={after}" if after else ""),
        additional_headers={"Authorization": f"Bearer {stack.key}"},
        open_timeout=20,
        max_size=None,
    ) as socket:
        for frame in socket:
            found.extend(event for event in json.loads(frame) if event.get("id"))
            if len(found) >= most:
                break
    return found[:most]


def in_order_and_once(events: list[dict[str, Any]]) -> bool:
    ids = [tuple(map(int, event["id"].split("-"))) for event in events]
    return ids == sorted(set(ids)) and ids[0] == (1, 1) and events[-1]["status"] == "finished"


def test_late_and_reconnecting_watchers_get_every_line_once_in_order(
    stack, http: httpx.Client, dataset_id: str
) -> None:
    wanted = {**RECIPE, "dataset_id": dataset_id, "max_steps": 60}
    job_id = answered(http.post("/train", json=wanted), 202)["job_id"]
    live: dict[str, list[dict[str, Any]]] = {}
    watchers = [
        threading.Thread(target=lambda: live.update(sse=followed(http, job_id))),
        threading.Thread(target=lambda: live.update(ws=socket_events(stack, job_id))),
    ]
    for watcher in watchers:
        watcher.start()
    reconnecting: list[dict[str, Any]] = []
    for _ in range(5):
        after = reconnecting[-1]["id"] if reconnecting else ""
        reconnecting += socket_events(stack, job_id, after, most=7)
    reconnecting += socket_events(stack, job_id, reconnecting[-1]["id"])
    for watcher in watchers:
        watcher.join(timeout=120)
    late = followed(http, job_id)
    for events in (live["sse"], live["ws"], reconnecting, late):
        assert in_order_and_once(events)
        assert [event["id"] for event in events] == [event["id"] for event in late]


def test_a_swap_under_eight_concurrent_chats_loses_none_and_mixes_none(
    stack, http: httpx.Client, adapter_id: str
) -> None:
    def ask(model: str) -> tuple[str, str]:
        body = {"model": model, "messages": QUESTION, "temperature": 0, "max_tokens": 24}
        response = httpx.post(
            f"{stack.url}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {stack.key}"},
            timeout=120,
        )
        content = answered(response)["choices"][0]["message"]["content"]
        return response.headers["X-Academy-Adapter"], content

    by_version = {"base": ask("tiny")[1], adapter_id: ask(adapter_id)[1]}
    assert by_version["base"] != by_version[adapter_id]
    answers: list[tuple[str, str]] = []
    swapped = threading.Event()

    def chat() -> None:
        rounds = 0
        while rounds < 3 or not swapped.is_set():
            answers.append(ask("default"))
            rounds += 1

    chats = [threading.Thread(target=chat) for _ in range(8)]
    for each in chats:
        each.start()
    for _ in range(2):
        answered(http.post("/adapters/activate", json={"adapter_id": adapter_id}))
        answered(http.post("/adapters/deactivate"))
    activation = answered(http.post("/adapters/activate", json={"adapter_id": adapter_id}))
    assert activation["success"] and activation["adapter_id"] == adapter_id
    assert ask("default") == (adapter_id, by_version[adapter_id])
    swapped.set()
    for each in chats:
        each.join(timeout=120)
        assert not each.is_alive()
    assert len(answers) >= 24
    for version, content in answers:
        assert content == by_version[version]
    listed = http.get("/adapters").json()
    assert [each["adapter_id"] for each in listed if each["is_active"]] == [adapter_id]
    answered(http.post("/adapters/deactivate"))
    assert ask("default") == ("base", by_version["base"])


def test_the_openai_client_works_unchanged(stack, adapter_id: str) -> None:
    client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0)
    assert {"tiny", "default", adapter_id} <= {model.id for model in client.models.list()}
    whole = client.chat.completions.create(
        model=adapter_id, messages=QUESTION, temperature=0, max_tokens=16
    )
    pieces = client.chat.completions.create(
        model=adapter_id, messages=QUESTION, temperature=0, max_tokens=16, stream=True
    )
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices)
    assert streamed == whole.choices[0].message.content
    with pytest.raises(openai.NotFoundError, match="nobody"):
        client.chat.completions.create(model="nobody", messages=QUESTION)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{stack.url}/v1", api_key="wrong", max_retries=0).models.list()
    client.close()


def test_a_running_training_is_cancelled_and_leaves_nothing(
    stack, http: httpx.Client, dataset_id: str
) -> None:
    wanted = {**RECIPE, "dataset_id": dataset_id, "max_steps": 100_000}
    job_id = answered(http.post("/train", json=wanted), 202)["job_id"]
    stack.until(
        lambda: answered(http.get(f"/train/{job_id}/status"))["status"] == "running", "running"
    )
    answered(http.delete(f"/train/{job_id}"))
    stack.until(
        lambda: answered(http.get(f"/train/{job_id}/status"))["status"] == "cancelled", "cancelled"
    )
    assert not (stack.home / "work" / job_id).exists()
    assert http.delete(f"/train/{job_id}").status_code == 409
    events = followed(http, job_id)
    assert events[-1]["status"] == "cancelled"


def test_one_idempotency_key_makes_one_job(http: httpx.Client, dataset_id: str) -> None:
    wanted = {**RECIPE, "dataset_id": dataset_id, "max_steps": 1}
    answers = [
        answered(http.post("/train", json=wanted, headers={"Idempotency-Key": "once"}), 202)
        for _ in range(2)
    ]
    assert answers[0]["job_id"] == answers[1]["job_id"]
    other = http.post("/train", json={**wanted, "seed": 1}, headers={"Idempotency-Key": "once"})
    assert other.status_code == 422 and other.json()["code"] == "idempotency_key_reused"
