"""The API keeps to its own OpenAPI document, whatever is sent to it.

schemathesis makes up thousands of requests from the document, right ones and wrong ones, alone and
one after another, and holds each answer to all of its checks. What it is told of Academy, and why,
stands in ``schemathesis.toml`` and ``hooks.py``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from academy.settings import Settings
from academy.store.models.tables import Adapter

_HERE = Path(__file__).parent
_SECONDS = 900.0


@pytest.fixture
def settings(settings: Settings, tiny_model: Path, model_server: str) -> Settings:
    """With a real base model, a model server, and bodies as large as the settings' default."""
    shutil.copytree(tiny_model, settings.models.folders[0] / "tiny", dirs_exist_ok=True)
    return settings.changed(
        runtime_url=(model_server,), max_body_bytes=Settings().api.max_body_bytes
    )


def _post(served: Any, path: str, body: Any, **more: Any) -> dict[str, Any]:
    answer = httpx.post(served.url(path), json=body, headers=served.headers, timeout=90, **more)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _own_key_id(served: Any) -> str:
    answer = httpx.get(served.url("/keys"), headers=served.headers, timeout=20)
    return next(each["id"] for each in answer.json()["keys"] if each["role"] == "admin")


@pytest.mark.contract
@pytest.mark.timeout(2 * _SECONDS)
def test_every_answer_is_what_the_document_says(
    served: Any, curator: None, trained: Adapter, tmp_path: Path
) -> None:
    for number in range(40):
        lesson = {"situation": f"How do I do {number}?", "solution": f"By the command {number}."}
        _post(served, "/lessons", lesson)
    curated = _post(served, "/dataset", {"git_commits_limit": 0, "repositories": []})
    _post(served, "/train", {"dataset_id": curated["dataset_id"], "max_steps": 1})
    ran = subprocess.run(
        (
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", str(_HERE / "schemathesis.toml")),
            *("run", f"http://{served.host}/openapi.json", "--checks", "all"),
            *("-H", f"Authorization: Bearer {served.key}"),
        ),
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": str(_HERE / "hooks.py"),
            "CONTRACT_KEY_ID": _own_key_id(served),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
    )
    assert ran.returncode == 0, ran.stdout
    assert httpx.get(served.url("/status"), headers=served.headers, timeout=20).is_success
