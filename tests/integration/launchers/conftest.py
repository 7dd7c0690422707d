"""A real Docker engine of the tests' own, with a base image that needs no registry."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM

import pytest

import docker
from academy.artifacts.manifest import read_manifest, write_manifest
from academy.artifacts.store import ArtifactStore
from academy.host.processes import end_group, spawn
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Sessions
from tests.integration.launchers.trainings import IMAGE, Trainings
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
_PROGRAMS = ("dockerd", "mmdebstrap", "containerd", "runc")


@pytest.fixture(scope="package")
def engine() -> Iterator[docker.APIClient]:
    """A Docker engine with a socket and a data folder of its own, and the image `IMAGE` in it."""
    with _engine(os.environ["PATH"]) as client:
        yield client


@pytest.fixture
def gpu_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[docker.APIClient]:
    """An engine that gives out GPUs: it finds the hook of NVIDIA's toolkit, which does nothing."""
    hook = tmp_path / "toolkit" / "nvidia-container-runtime-hook"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\ncat >/dev/null\n")
    hook.chmod(0o755)
    with _engine(f"{hook.parent}:{os.environ['PATH']}") as client:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{_socket_of(client)}")
        yield client


@contextlib.contextmanager
def _engine(path: str) -> Iterator[docker.APIClient]:
    _require_programs()
    folder = Path(tempfile.mkdtemp(prefix="academy-docker-"))  # short, as a socket's path must be
    url = f"unix://{folder}/docker.sock"
    said = (folder / "dockerd.log").open("wb")
    process = spawn(
        [
            "dockerd",
            f"--host={url}",
            f"--data-root={folder}/data",
            f"--exec-root={folder}/exec",
            f"--pidfile={folder}/docker.pid",
            # Nothing of this machine's network is touched.
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
        ],
        env={**os.environ, "PATH": path},
        stdout=said,
        stderr=said,
        death_signal=SIGTERM,  # it then ends its containers and unmounts their folders
    )
    try:
        until(
            lambda: process.poll() is not None or _answers(folder),
            60,
            lambda: f"dockerd answers:\n{_log_of(folder)}",
        )
        assert process.poll() is None, _log_of(folder)
        client = docker.APIClient(base_url=url, version="1.41", timeout=120)
        repository, _, tag = IMAGE.partition(":")
        client.import_image_from_file(str(_base_image()), repository=repository, tag=tag)
        yield client
        client.close()
    finally:
        process.terminate()  # and not its containerd, which it still needs
        process.wait(timeout=60)
        end_group(process, grace_seconds=0)
        said.close()
        # A container in the host's network leaves a name of that network mounted.
        for name in Path("/proc/self/mounts").read_text().split():
            if name.startswith(f"{folder}/"):
                subprocess.run(["umount", "--lazy", name], check=True, timeout=30)
        shutil.rmtree(folder)


@pytest.fixture
def docker_host(engine: docker.APIClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the engine, which Academy finds as every Docker client does.

    No container of Academy's may be left by a test.
    """
    url = f"unix://{_socket_of(engine)}"
    monkeypatch.setenv("DOCKER_HOST", url)
    yield url
    left = engine.containers(all=True, filters={"label": "academy.job"})
    for each in left:
        engine.remove_container(each["Id"], force=True)
    assert left == []


@pytest.fixture
def habitat(settings: Settings, docker_host: str) -> Settings:
    """Settings whose trainings start in a container that runs this checkout's trainer."""
    packages = Path(docker.__file__).parents[1]
    return settings.changed(
        launcher="docker",
        docker_image=IMAGE,
        docker_command=("env", "PYTHONPATH=/opt/academy:/opt/packages", *Settings().docker.command),
        docker_mounts=(f"{ROOT}:/opt/academy", f"{packages}:/opt/packages"),
        docker_cpus=1,
        trainer_memory_bytes=2 << 30,
        models=(settings.home / "models",),
        base_model="tiny",
    )


@pytest.fixture
def dataset(settings: Settings, sessions: Sessions, tmp_path: Path, tiny_model: Path) -> str:
    """The id of a small dataset in the store, and a tiny base model to train on it."""
    for each in shutil.copytree(tiny_model, settings.home / "models" / "tiny").iterdir():
        each.chmod(0o644)  # it writes weights for their owner alone
    folder = tmp_path / "dataset"
    folder.mkdir()
    for name, numbers in (("train", range(24)), ("heldout", range(24, 32))):
        (folder / f"{name}.jsonl").write_text("".join(map(_row, numbers)))
    write_manifest(folder)
    key = ArtifactStore(settings).publish(folder, "datasets")
    with sessions.begin() as session:
        return datasets.register(
            session,
            id="dataset-1",
            digest=read_manifest(folder)["digest"],
            key=key,
            format="openai",
            train_rows=24,
            heldout_rows=8,
            statistics={},
            request={},
        ).id


@pytest.fixture
def trainings(habitat: Settings, sessions: Sessions, dataset: str) -> Trainings:
    return Trainings(habitat, sessions, dataset)


def _log_of(folder: Path) -> str:
    return (folder / "dockerd.log").read_text()[-3000:]


def _answers(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as door:
        return door.connect_ex(f"{folder}/docker.sock") == 0


def _row(number: int) -> str:
    words = " ".join(("alpha", "beta", "gamma")[(number + each) % 3] for each in range(3 + number))
    return (
        f'{{"id": "row-{number}", "source": "upload", "messages": ['
        f'{{"role": "user", "content": "repeat: {words}"}},'
        f'{{"role": "assistant", "content": "{words}"}}]}}\n'
    )


def _require_programs() -> None:
    missing = [each for each in _PROGRAMS if shutil.which(each) is None]
    why = f"a Docker engine for the tests needs {', '.join(missing)}" if missing else ""
    if not why and os.getuid() != 0:
        why = "a Docker engine for the tests has to be started by root"
    if not why and sys.version_info[:2] != (3, 11):
        why = "the base image has Python 3.11, so the tests' packages have to be those of 3.11"
    if why and os.environ.get("CI"):
        pytest.fail(f"{why}; in CI these tests must run (.ci/run installs it)")
    if why:
        pytest.skip(why)


def _base_image() -> Path:
    """A tar of Debian with Python, made once for each checkout; `make clean` removes it."""
    made = ROOT / ".cache" / "tests" / "bookworm-python.tar"
    if made.exists():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    partial = made.with_name(f"{made.stem}.{os.getpid()}.tar")
    # Nothing is configured, as nothing but Python runs in it; torch needs libstdc++.
    variant = ["--variant=extract", "--include=python3,libstdc++6,coreutils,dash"]
    command = ["mmdebstrap", *variant, "bookworm", str(partial)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    partial.replace(made)
    return made


def _socket_of(engine: docker.APIClient) -> str:
    return str(engine.get_adapter(engine.base_url).socket_path)
