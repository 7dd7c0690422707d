"""A tiny base model, two adapters that answer differently, and a real server process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from academy.artifacts.manifest import write_manifest
from academy.host.processes import end_group
from academy.serving.drivers import AdapterRef
from tests.integration.servers import Served, start_model_server, wait_until_ready
from tests.waiting import until
from tests.warm.python import WarmPython

NAME = "tiny"


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with a byte-level tokenizer."""
    from academy.trainer.tiny import make_tiny_model

    # A long context, so that an answer can outlast what a test does to its server meanwhile.
    return make_tiny_model(tmp_path_factory.mktemp("models") / NAME, positions=8192)


@pytest.fixture(scope="session")
def red(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AdapterRef:
    """An adapter on every linear layer."""
    return make_adapter(base_folder, tmp_path_factory.mktemp("red"), "red-v1.0", 1, "all-linear")


@pytest.fixture(scope="session")
def blue(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AdapterRef:
    """An adapter on two kinds of layers, with another rank, that answers differently."""
    targets = ["q_proj", "v_proj", "down_proj"]
    return make_adapter(base_folder, tmp_path_factory.mktemp("blue"), "blue-v2.0", 2, targets)


def make_adapter(
    base: Path, folder: Path, name: str, seed: int, targets: str | list[str]
) -> AdapterRef:
    """Write a LoRA with random weights, large enough to change every answer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LoraConfig(r=2 + seed, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM")
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(parameter, std=0.5)
        model.save_pretrained(folder)
    return AdapterRef(name, folder, write_manifest(folder))


@pytest.fixture(scope="package")
def server(
    base_folder: Path, tmp_path_factory: pytest.TempPathFactory, warm_trainers: WarmPython
) -> Iterator[Served]:
    """A server process that tests share; each test leaves it without adapters of its own."""
    log = tmp_path_factory.mktemp("server") / "log"
    served = start_model_server(warm_trainers, base_folder, log)
    wait_until_ready(served)
    yield served
    end_group(served.process, grace_seconds=20)


def wait_for_running(served: Served, running: int, timeout_seconds: float = 20) -> None:
    """Wait until so many requests run on the server."""
    seen = []

    def run() -> bool:
        seen.append(httpx.get(f"{served.url}/health", timeout=5).json()["running"])
        return bool(seen[-1] == running)

    until(run, timeout_seconds, lambda: f"{running} run, not {seen[-1]}", poll=0.02)
