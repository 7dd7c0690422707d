"""What a request may ask of its launcher, and what the settings make of it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from academy.errors import BadSetting
from academy.settings import Settings
from academy.training.launch import Launch, LaunchRefused, LimitsWanted, grant
from academy.training.request import TrainingRequest

SETTINGS = Settings()
DOCKER = SETTINGS.changed(launcher="docker")


def test_without_a_word_the_settings_decide() -> None:
    granted = grant(Launch(), SETTINGS)
    assert (granted.launcher, granted.image) == ("native", "academy:local")
    assert granted.limits.memory_bytes is None and granted.limits.cpu_seconds is None
    assert granted.limits.wall_seconds == SETTINGS.jobs.timeout_seconds
    full = DOCKER.changed(trainer_memory_bytes=1 << 30, trainer_cpu_seconds=60.0, docker_cpus=2)
    limits = grant(Launch(), full).limits
    assert (limits.memory_bytes, limits.cpu_seconds, limits.cpus) == (1 << 30, 60.0, 2)


@pytest.mark.parametrize(
    ("launch", "settings", "named"),
    [
        (Launch(image="other"), SETTINGS, "image"),
        (Launch(network=True), SETTINGS, "network"),
        (Launch(limits=LimitsWanted(cpus=1.0)), SETTINGS, "limits.cpus"),
        (Launch(image="other:1"), DOCKER, "ACADEMY_DOCKER_IMAGES"),
        (Launch(image="other:1"), DOCKER.changed(docker_images=("our/*", "else")), "other:1"),
        (Launch(network=True), DOCKER, "ACADEMY_DOCKER_NETWORK"),
        (
            Launch(limits=LimitsWanted(memory_bytes=2 << 30)),
            SETTINGS.changed(trainer_memory_bytes=1 << 30),
            "limits.memory_bytes",
        ),
        (Launch(limits=LimitsWanted(wall_seconds=1e9)), SETTINGS, "limits.wall_seconds"),
        (
            Launch(limits=LimitsWanted(cpu_seconds=61)),
            SETTINGS.changed(trainer_cpu_seconds=60.0),
            "at most 60",
        ),
    ],
)
def test_what_policy_does_not_allow_is_refused_by_name(
    launch: Launch, settings: Settings, named: str
) -> None:
    with pytest.raises(LaunchRefused) as refused:
        grant(launch, settings)
    assert named in str(refused.value)
    assert refused.value.status == 422


def test_what_policy_allows_is_granted() -> None:
    settings = SETTINGS.changed(docker_images=("our/*", "other:1"), docker_network="bridge")
    for image in ("our/trainer:2", "other:1", "academy:local"):
        granted = grant(Launch(launcher="docker", image=image, network=True), settings)
        assert (granted.launcher, granted.image, granted.network) == ("docker", image, True)
    wanted = LimitsWanted(memory_bytes=1 << 30, cpus=0.5, wall_seconds=5, cpu_seconds=4)
    limits = grant(Launch(launcher="docker", limits=wanted), settings).limits
    assert (limits.memory_bytes, limits.cpus) == (1 << 30, 0.5)
    assert (limits.wall_seconds, limits.cpu_seconds) == (5, 4)


@pytest.mark.parametrize(
    "launch",
    [
        {"launcher": "podman"},
        {"image": "--privileged"},
        {"image": "a b"},
        {"limits": {"memory_bytes": 1}},
        {"limits": {"cpus": float("nan")}},
        {"limits": {"gpus": 1}},
    ],
)
def test_what_no_launcher_knows_is_refused(launch: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingRequest.model_validate(launch)


def test_the_launcher_is_no_part_of_the_recipe() -> None:
    request = TrainingRequest.model_validate(
        {"launcher": "docker", "image": "other:1", "limits": {"cpus": 2.0}, "lora_rank": 4}
    )
    assert request.parameters() == TrainingRequest(lora_rank=4).parameters()
    assert request.launch() == Launch(
        launcher="docker", image="other:1", limits=LimitsWanted(cpus=2.0)
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ACADEMY_LAUNCHER", "podman"), ("ACADEMY_LAUNCHER_FALLBACK", "gpu")],
)
def test_a_setting_that_names_no_launcher_is_refused(variable: str, value: str) -> None:
    with pytest.raises(BadSetting, match=value):
        Settings.from_env({variable: value})
