"""The image: any base, nobody's root, nothing in it that the ignore file keeps out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "docker" / "academy.Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [
    line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and line[0] not in " #"
]


def test_every_stage_takes_its_base_image_as_a_build_argument() -> None:
    assert INSTRUCTIONS[0] == "ARG BASE_IMAGE=python:3.11-slim"
    bases = [line.split()[1] for line in INSTRUCTIONS if line.startswith("FROM ")]
    assert bases == ["${BASE_IMAGE}", "${BASE_IMAGE}"]


def test_the_image_runs_as_a_user_of_its_own() -> None:
    assert [line for line in INSTRUCTIONS if line.startswith("USER ")] == ["USER academy"]
    started = INSTRUCTIONS.index("USER academy")
    assert not [line for line in INSTRUCTIONS[started:] if line.startswith(("RUN", "COPY"))]


def test_no_build_argument_or_variable_is_meant_for_a_secret() -> None:
    named = [line for line in INSTRUCTIONS if line.startswith(("ARG", "ENV"))]
    assert not [line for line in named if re.search("token|secret|passw|key", line, re.I)]


def test_everything_that_is_copied_exists_and_is_sent_to_the_engine() -> None:
    sent = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    for line in INSTRUCTIONS:
        if line.startswith("COPY ") and "--from=" not in line:
            for source in line.split()[1:-1]:
                name = source.rstrip("/")
                if name == "${REQUIREMENTS}":
                    name = "requirements*.txt"
                assert name in sent, f"{source} is not in .dockerignore's list"
                assert list(ROOT.glob(name)), f"{source} does not exist"


def test_the_gpu_lock_agrees_with_the_other_one_and_adds_what_gpus_need() -> None:
    base, gpu = _pins("requirements.txt"), _pins("requirements-gpu.txt")
    # datasets 4.8.5 asks for an older fsspec than the service alone would take.
    differing = {name for name, version in base.items() if gpu.get(name) != version} - {"fsspec"}
    assert differing == set()
    assert {"unsloth", "bitsandbytes", "trl", "datasets", "triton"} <= set(gpu)


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {package.lower().replace("_", "-"): version for package, version in pins}
