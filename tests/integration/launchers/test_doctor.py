"""`academy doctor` reports on Docker what a job would fail of, in the same words."""

from __future__ import annotations

import pytest

from academy.cli.doctor.checkup import examine
from academy.cli.doctor.findings import Finding, State
from academy.settings import Settings
from academy.training.launchers.errors import DockerUnavailable, ImageMissing
from tests.integration.launchers.trainings import IMAGE

NAMES = ("Docker engine", "Docker NVIDIA runtime", "training image")


def look(settings: Settings) -> list[Finding]:
    by_name = {each.name: each for each in examine(settings)}
    return [by_name[name] for name in NAMES]


def test_an_engine_with_the_image_is_in_order_and_a_missing_runtime_is_named(
    docker_host: str, settings: Settings
) -> None:
    engine, runtime, image = look(settings.changed(launcher="docker", docker_image=IMAGE))
    assert (engine.state, image.state) == (State.OK, State.OK)
    assert engine.necessary and image.necessary
    assert docker_host in engine.detail and "sha256:" in image.detail
    assert runtime.state == State.MISSING
    assert "nvidia-ctk" in runtime.todo


def test_an_image_that_is_not_there_is_named_as_a_job_names_it(
    docker_host: str, settings: Settings
) -> None:
    *_, image = look(settings.changed(launcher="docker", docker_image="nobody/has:it"))
    assert (image.state, image.necessary) == (State.MISSING, True)
    assert image.detail == str(ImageMissing(image="nobody/has:it"))
    assert image.todo == ImageMissing.next_step


@pytest.mark.parametrize("launcher", ["native", "docker"])
def test_without_an_engine_only_those_who_train_in_containers_lack_something(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    engine, runtime, image = look(settings.changed(launcher=launcher))
    for each in (engine, runtime, image):
        assert each.state == State.MISSING
        assert DockerUnavailable.next_step in each.todo
        assert each.todo.startswith("Only the launcher 'docker'") == (launcher == "native")
        assert each.necessary == (launcher == "docker")
