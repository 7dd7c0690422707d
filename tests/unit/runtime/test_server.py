"""What the server answers before there is a model, and whom it does not let in."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from academy.runtime.inference_engine import InferenceEngine
from academy.runtime.server import create_server


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """A client of a server whose model is not loaded yet; adapters come from tmp_path/adapters."""
    (tmp_path / "adapters").mkdir()
    return create_server(InferenceEngine(tmp_path, "tiny"), [tmp_path / "adapters"]).test_client()


def test_health_says_what_it_waits_for(client: FlaskClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json == {
        "state": "loading",
        "model": "tiny",
        "detail": "",
        "waiting": 0,
        "running": 0,
    }


def test_a_chat_before_the_model_is_there_is_told_to_come_back(client: FlaskClient) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.json is not None
    assert answer.json["error"]["code"] == "busy"


@pytest.mark.parametrize("path", ["{root}", "{root}/adapters/../x", "/etc", "{root}/link"])
def test_a_path_outside_of_the_adapter_roots_is_not_opened(
    client: FlaskClient, tmp_path: Path, path: str
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "x")
    body = {"lora_name": "a", "lora_path": path.format(root=tmp_path)}
    answer = client.post("/v1/load_lora_adapter", json=body)
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["error"]["code"] == "path_outside"


def test_a_link_inside_that_leads_outside_is_not_opened(
    client: FlaskClient, tmp_path: Path
) -> None:
    (tmp_path / "adapters" / "link").symlink_to("/etc")
    body = {"lora_name": "a", "lora_path": str(tmp_path / "adapters" / "link")}
    assert client.post("/v1/load_lora_adapter", json=body).status_code == 403


def test_a_body_that_is_too_large_is_refused(client: FlaskClient) -> None:
    body = b'{"model": "' + b"x" * (9 << 20) + b'"}'
    answer = client.post("/v1/chat/completions", data=body, content_type="application/json")
    assert answer.status_code in (400, 413)
