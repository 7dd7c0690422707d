"""docker-compose.yml is what the documentation says: complete, closed by default, able to stop.

The file is read in two ways: by a real `docker compose config` where one is installed, and always
by a small reader of our own that puts in the variables.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from academy.settings import places

ROOT = Path(__file__).parents[3]
PROCESSES = {
    "migrate": ["migrate"],
    "api": ["api"],
    "keeper": ["keeper"],
    "worker-curation": ["worker", "--queue", "curation"],
    "worker-gpu": ["worker", "--queue", "gpu"],
    "worker-cpu": ["worker", "--queue", "gpu"],
    "runtime": ["runtime", "--host", "0.0.0.0", "--port", "8100"],
}
SERVERS = {"postgres", "valkey"}
ONE_SHOTS = {"migrate", "model"}
ANSWERING = {"postgres", "valkey", "api", "runtime"}
FILLED_IN = {"POSTGRES_PASSWORD": "a1b2c3", "VALKEY_PASSWORD": "d4e5f6"}

Service = dict[str, Any]


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """.env.example with passwords filled in, as `docker compose` reads it."""
    found: dict[str, str] = {}
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name] = _put_in(value, found) or FILLED_IN.get(name, "")
    return found


@pytest.fixture(scope="module")
def compose(variables: dict[str, str]) -> dict[str, Any]:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(_put_in(text, variables))
    return content


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = compose["services"]
    return found


def test_a_real_compose_accepts_the_file(variables: dict[str, str], tmp_path: Path) -> None:
    command = _compose_command()
    if command is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is installed here")
    answer = _config(command, tmp_path, "".join(f"{k}={v}\n" for k, v in variables.items()))
    assert answer.returncode == 0, answer.stderr
    # `config` leaves out the services of profiles that are not chosen.
    assert SERVERS | set(PROCESSES) | {"model"} == set(yaml.safe_load(answer.stdout)["services"])


@pytest.mark.parametrize("missing", ["POSTGRES_PASSWORD", "VALKEY_PASSWORD"])
def test_a_real_compose_names_the_password_that_is_missing(
    variables: dict[str, str], tmp_path: Path, missing: str
) -> None:
    command = _compose_command()
    if command is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is installed here")
    rest = "".join(f"{k}={v}\n" for k, v in variables.items() if k != missing)
    answer = _config(command, tmp_path, rest)
    assert answer.returncode != 0
    assert missing in answer.stderr


def test_every_process_of_academy_is_there_and_no_other(services: dict[str, Service]) -> None:
    assert set(services) == SERVERS | set(PROCESSES) | {"model"}
    assert {name: services[name]["command"] for name in PROCESSES} == PROCESSES


def test_every_variable_of_the_file_is_explained_in_the_example(
    variables: dict[str, str],
) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    used = {name for name, _ in VARIABLE.findall(text)} - {""}
    assert used - set(variables) == set()
    assert set(variables) - used == {"COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"}


def test_the_defaults_of_the_file_are_those_of_the_example(variables: dict[str, str]) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for name, rule in VARIABLE.findall(text):
        if rule.startswith(":-"):
            assert variables[name] == rule[2:], name


def test_passwords_and_addresses_must_be_given_and_have_no_default(
    compose: dict[str, Any],
) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    rules = dict(VARIABLE.findall(text))
    for name in ("POSTGRES_PASSWORD", "VALKEY_PASSWORD", "ACADEMY_DATABASE_URL"):
        assert rules[name].startswith(":?"), name


def test_every_academy_variable_is_a_setting(services: dict[str, Service]) -> None:
    settings = {name for each in places() for name in each.rule.names}
    for name in PROCESSES:
        given = {each for each in services[name]["environment"] if each.startswith("ACADEMY_")}
        assert given - settings == set(), name


def test_the_defaults_of_the_file_are_those_of_the_settings(services: dict[str, Service]) -> None:
    given = {k: str(v) for k, v in services["api"]["environment"].items()}
    others = {"DATABASE_URL", "REDIS_URL", "RUNTIME_URL", "ARTIFACTS", "HOST"}
    for name in given.keys() - {f"ACADEMY_{each}" for each in others}:
        [rule] = [each.rule for each in places() if name in each.rule.names]
        assert rule.read(name, given[name]) == rule.default, name


def test_nothing_is_published_beyond_this_machine(services: dict[str, Service]) -> None:
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert published == {"api": ["127.0.0.1:8000:8000"]}
    assert not [name for name, each in services.items() if each.get("network_mode") == "host"]


def test_the_processes_of_academy_can_gain_no_rights(services: dict[str, Service]) -> None:
    for name in [*PROCESSES, "model"]:
        assert services[name]["cap_drop"] == ["ALL"], name
        assert services[name]["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in services[name], name
        assert not [each for each in services[name]["volumes"] if "docker.sock" in each], name


def test_the_gpu_worker_reserves_nvidia_devices_and_only_its_profile_starts_it(
    services: dict[str, Service],
) -> None:
    gpu, cpu = services["worker-gpu"], services["worker-cpu"]
    [device] = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert gpu["profiles"] == ["gpu"]
    assert cpu["profiles"] == ["cpu"]
    assert "deploy" not in cpu
    assert [name for name, each in services.items() if "profiles" in each] == [
        "worker-gpu",
        "worker-cpu",
    ]


def test_every_dependency_waits_for_health_or_for_completion(
    services: dict[str, Service],
) -> None:
    for name, each in services.items():
        for other, rule in dict(each.get("depends_on") or {}).items():
            wanted = "service_completed_successfully" if other in ONE_SHOTS else "service_healthy"
            assert rule == {"condition": wanted}, f"{name} waits for {other}"
            assert other in ONE_SHOTS or "healthcheck" in services[other], other


def test_what_answers_a_port_has_a_health_check_that_ends(services: dict[str, Service]) -> None:
    assert {name for name, each in services.items() if "healthcheck" in each} == ANSWERING
    for name in ANSWERING:
        check = services[name]["healthcheck"]
        assert check["test"][0] in {"CMD", "CMD-SHELL"}
        assert {"interval", "timeout", "retries", "start_period"} <= set(check), name


def test_every_service_restarts_has_a_memory_limit_and_bounded_logs(
    services: dict[str, Service],
) -> None:
    for name, each in services.items():
        assert each["restart"] == ("no" if name in ONE_SHOTS else "unless-stopped"), name
        assert re.fullmatch(r"\d+[mg]", each["mem_limit"]), name
        assert set(each["logging"]["options"]) == {"max-size", "max-file"}, name


def test_whoever_drains_gets_the_time_for_it(services: dict[str, Service]) -> None:
    for name in (SERVERS | set(PROCESSES)) - ONE_SHOTS:
        assert "stop_grace_period" in services[name], name


def test_what_must_outlive_a_container_lies_in_a_named_volume(
    compose: dict[str, Any], services: dict[str, Service]
) -> None:
    assert set(compose["volumes"]) == {"database", "valkey", "home", "artifacts", "models"}
    assert "home:/var/lib/academy" in services["api"]["volumes"]
    assert "home:/var/lib/academy" in services["migrate"]["volumes"]  # writes admin.key
    for name in ("api", "worker-curation", "worker-cpu", "worker-gpu", "runtime"):
        assert "artifacts:/srv/artifacts" in services[name]["volumes"], name


def test_only_who_reads_histories_sees_the_repositories_and_nobody_may_write_there(
    services: dict[str, Service],
) -> None:
    seen = {
        name: [each for each in service["volumes"] if "/srv/repositories" in each]
        for name, service in services.items()
    }
    mount = [".:/srv/repositories:ro"]
    assert {name: each for name, each in seen.items() if each} == {
        "api": mount,
        "worker-curation": mount,
    }


# `$$` is a dollar sign; `${NAME:-default}` and `${NAME:?message}` are the only forms in use.
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(:[-?][^}]*)?\}")


def _put_in(text: str, variables: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        rule = match[2] or ""
        found = variables.get(match[1], "")
        assert found or rule.startswith(":-"), f"{match[1]} is not set: {rule[2:]}"
        return found or rule[2:]

    return VARIABLE.sub(value, text)


def _compose_command() -> list[str] | None:
    if shutil.which("docker"):
        command = ["docker", "compose"]
        asked = subprocess.run([*command, "version"], capture_output=True, timeout=30, check=False)
        if asked.returncode == 0:
            return command
    found = shutil.which("docker-compose")
    return [found] if found else None


def _config(command: list[str], folder: Path, env: str) -> subprocess.CompletedProcess[str]:
    (folder / "env").write_text(env, encoding="utf-8")
    given = re.compile(r"ACADEMY_|POSTGRES_|VALKEY_|COMPOSE_")
    files = ["--env-file", str(folder / "env"), "-f", str(ROOT / "docker-compose.yml")]
    return subprocess.run(
        [*command, *files, "--profile", "cpu", "--profile", "gpu", "config"],
        cwd=folder,
        env={name: each for name, each in os.environ.items() if not given.match(name)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
