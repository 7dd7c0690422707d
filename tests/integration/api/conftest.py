"""The application over real servers, and clients with keys of each role."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from websockets.sync.client import ClientConnection, connect

from academy.access.keys import Role, make_key
from academy.artifacts.manifest import write_manifest
from academy.artifacts.store import ArtifactStore
from academy.basemodels import folders
from academy.curation.supervisor import curate_job
from academy.host.processes import end_group
from academy.jobs.attempt import carry_out
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Sessions
from academy.store.jobs import transitions
from academy.store.models import adapters
from academy.store.models.tables import Adapter
from tests.commands import invoke
from tests.integration import servers
from tests.integration.servers import start_model_server, wait_until_ready
from tests.warm.python import WarmPython

BASE = "/api/v1/academy"


@pytest.fixture(autouse=True)
def _broker(valkey_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery reads its broker's address from the environment; tests of other folders must not."""
    monkeypatch.setenv("ACADEMY_REDIS_URL", valkey_server)


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a base model that the API finds, and small limits."""
    model = tmp_path / "models" / "tiny"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"")
    return settings.changed(
        models=(tmp_path / "models",),
        base_model="tiny",
        max_body_bytes=100_000,
        repo_roots=(tmp_path / "repositories",),
        # Nobody listens there, which is what most tests want; the others say their own.
        runtime_url=("http://127.0.0.1:9",),
        # A worker that a test writes down has no heart-beat, and is one as long as its lease.
        lease_seconds=60.0,
    )


@dataclass(frozen=True)
class Caller:
    """A Flask test client with a key."""

    http: FlaskClient
    key: str

    def __call__(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        where = path if path.startswith(("/v1", "/metrics")) else BASE + path
        return self.http.open(where, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self("GET", path, **more)

    def post(self, path: str, **more: Any) -> Any:
        return self("POST", path, **more)


@pytest.fixture
def caller(app: APIFlask, sessions: Sessions) -> Callable[[Role], Caller]:
    """Makes a client whose key has a role."""

    def make(role: Role) -> Caller:
        with sessions.begin() as session:
            _, secret = make_key(session, f"the {role}", role)
        return Caller(app.test_client(), secret)

    return make


@pytest.fixture
def admin(caller: Callable[[Role], Caller]) -> Caller:
    return caller(Role.ADMIN)


@pytest.fixture
def dataset(settings: Settings, sessions: Sessions, tmp_path: Path) -> str:
    """The id of a registered dataset with 12 training rows in the artifact store."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    rows = [{"id": f"r{n}", "messages": [], "source": "lesson"} for n in range(12)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    for name in ("train", "dataset"):
        (folder / f"{name}.jsonl").write_text(lines)
    (folder / "heldout.jsonl").write_text(json.dumps({"id": "h0"}) + "\n")
    drops = [{"filter": "merge", "reason": "a merge"}, {"filter": "bot", "reason": "a bot"}]
    (folder / "drops.jsonl").write_text("".join(json.dumps(drop) + "\n" for drop in drops))
    (folder / "statistics.json").write_text('{"total_examples": 12}')
    digest = write_manifest(folder)
    key = ArtifactStore(settings).publish(folder, "datasets")
    with sessions.begin() as session:
        datasets.register(
            session,
            id="dataset_one",
            digest=digest,
            key=key,
            format="alpaca",
            train_rows=12,
            heldout_rows=1,
            statistics={"total_examples": 12},
            request={},
        )
    return "dataset_one"


@pytest.fixture
def adapter(settings: Settings, sessions: Sessions, tmp_path: Path) -> str:
    """The id of a registered adapter in the artifact store."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    digest = write_manifest(folder)
    key = ArtifactStore(settings).publish(folder, "adapters")
    with sessions.begin() as session:
        adapters.register(
            session,
            Adapter(
                id="training_one",
                digest=digest,
                key=key,
                base_model="tiny",
                parameters={"lora_rank": 16},
                metrics={"loss": float(1)},
                code_version="0",
            ),
        )
    return "training_one"


@pytest.fixture(scope="module")
def lora(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter's folder as a trainer leaves it: the base model by its name, and its digest."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("lora")
    torch.manual_seed(0)
    config = LoraConfig(r=2, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    made = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), config)
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    made.peft_config["default"].base_model_name_or_path = "tiny"
    made.save_pretrained(folder, save_embedding_layers=False)  # as the trainer does
    origin = {"base_model": {"name": "tiny", "digest": folders.digest(tiny_model)}}
    (folder / "academy.json").write_text(json.dumps(origin))
    write_manifest(folder)
    return folder


@pytest.fixture(scope="module")
def model_server(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, warm_trainers: WarmPython
) -> Iterator[str]:
    """The address of a model server process."""
    log = tmp_path_factory.mktemp("runtime") / "log"
    served = start_model_server(warm_trainers, tiny_model, log)
    wait_until_ready(served)
    yield served.url
    end_group(served.process, grace_seconds=20)


@pytest.fixture
def trained(settings: Settings, sessions: Sessions, lora: Path) -> Adapter:
    key = ArtifactStore(settings).publish(lora, "adapters")
    row = Adapter(
        id="training_real",
        digest="sha256:" + key.rpartition("/")[2],
        key=key,
        base_model="tiny",
        parameters={"lora_rank": 2},
        metrics={},
        code_version="0",
    )
    with sessions.begin() as session:
        adapters.register(session, row)
    return row


@pytest.fixture
def curator(settings: Settings, sessions: Sessions) -> Iterator[None]:
    """Carries out every curation that is queued, as a worker does."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            with sessions.begin() as session:
                job = transitions.claim(session, "curation", "worker-1", 60.0)
            if job is not None:
                carry_out(settings, sessions, job, threading.Event(), curate_job)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join(timeout=60)


@dataclass(frozen=True)
class Served:
    """An API process that answers."""

    host: str
    key: str
    process: subprocess.Popen[bytes]
    log: Path

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://{self.host}{BASE}{path}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def watch(self, job_id: str, query: str = "", **more: Any) -> ClientConnection:
        url = self.url(f"/train/{job_id}/logs/ws{query}", "ws")
        return connect(url, additional_headers=self.headers, open_timeout=20, **more)


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """A test that needs other settings for its API parametrizes this."""
    return {}


@pytest.fixture
def served(
    settings: Settings,
    free_port: int,
    tmp_path: Path,
    more_settings: dict[str, Any],
    warm_apis: WarmPython,
) -> Iterator[Served]:
    settings = settings.changed(port=free_port, **{"ping_seconds": 20.0, **more_settings})
    with servers.api_process(warm_apis, settings, tmp_path / "api.log") as made:
        key = (settings.home / "admin.key").read_text().strip()
        yield Served(made.url.removeprefix("http://"), key, made.process, made.log)


@pytest.fixture
def run(served, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a command and returns what it printed; its errors are raised."""
    monkeypatch.setenv("ACADEMY_URL", f"http://{served.host}")
    monkeypatch.setenv("ACADEMY_API_KEY", served.key)

    def run(*words: str) -> str:
        answer = invoke(*words)
        if answer.exception is not None:
            raise answer.exception
        return answer.output

    return run


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "contract: thousands of made-up requests; minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """``make test`` leaves them out, and ``make contract`` asks for them."""
    if "contract" not in config.getoption("markexpr"):
        left_out = [item for item in items if item.get_closest_marker("contract")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
