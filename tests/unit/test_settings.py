"""Settings come from the environment, within their ranges, and the README lists each of them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from academy.errors import MOST_CHARACTERS, BadSetting
from academy.events.stream import require_address
from academy.settings import Place, Settings, places
from academy.settings.rules import Rule


def test_every_setting_stands_in_the_readme_with_its_default_and_meaning(repository: Path) -> None:
    readme = (repository / "README.md").read_text()
    for _, _, rule in places():
        written = rule.write(rule.default)
        default = f"`{written}`" if written else ""
        also = f" (also {', '.join(f'`{name}`' for name in rule.also)})" if rule.also else ""
        row = f"| `{rule.variable}` | {default} | {rule.doc}{also} |"
        assert row in readme, f"run tools/settings_table.py; missing: {row}"


def test_every_group_of_the_readme_has_a_heading(repository: Path) -> None:
    readme = (repository / "README.md").read_text()
    for name in {place.group for place in places()} - {""}:
        assert f"**{name.capitalize()}** · {getattr(Settings, name).__doc__}" in readme


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("ACADEMY_PORT", "http", "a whole number"),
        ("ACADEMY_PORT", "70000", "at most 65535"),
        ("ACADEMY_LEASE_SECONDS", "0", "at least 0.5"),
        ("ACADEMY_LEASE_SECONDS", "nan", "at least 0.5"),
        ("ACADEMY_LEASE_SECONDS", "inf", "at least 0.5"),
        ("ACADEMY_MAX_CRASHES", "2.5", "a whole number"),
        ("ACADEMY_LAUNCHER", "podman", "native or docker"),
        ("ACADEMY_LAUNCHER", "Docker", "native or docker"),
        ("ACADEMY_LOG_LEVEL", "loud", "DEBUG or INFO or WARNING or ERROR"),
        ("ACADEMY_LAUNCHER_FALLBACK", "cpu,rocket", "cpu or native"),
        ("ACADEMY_LAUNCHER_FALLBACK", "cpu,cpu", "cpu or native"),
        ("ACADEMY_TRAINER_COMMAND", "'python", "quoted as in a shell"),
        ("ACADEMY_DOCKER_COMMAND", " ", "a command"),
        ("ACADEMY_TRAINER_COMMAND", "'' -x", "a command"),
        ("ACADEMY_ALLOW_GIT_REMOTES", "2", "true or 1 or yes or on or false or 0 or no or off"),
        # A name of the seeds is blamed by that very name.
        ("DEFAULT_LORA_RANK", "0", "at least 1"),
        ("DEFAULT_LORA_RANK", "many", "a whole number"),
        ("DEFAULT_LEARNING_RATE", "1", "at most 0.1"),
        ("DEFAULT_LEARNING_RATE", "0", "at least 1e-12"),
        ("DEFAULT_NUM_EPOCHS", "101", "at most 100"),
        ("MIN_LESSONS_FOR_TRAINING", "0", "at least 1"),
        ("MIN_TRAINING_INTERVAL_HOURS", "-1", "at least 0"),
        ("ACADEMY_MAX_LESSONS", "-1", "at least 0"),
        ("ENABLE_ACADEMY", "maybe", "true or 1"),
        # What Python would take and nobody means.
        ("ACADEMY_PORT", "8_0", "a whole number"),
        ("ACADEMY_PORT", "\u0668\u0660", "a whole number"),
        ("ACADEMY_RETRY_SECONDS", "1_0.5", "a number"),
        ("ACADEMY_TRAINER_MEMORY_BYTES", "9" * 400, "at most 9223372036854775807"),
        ("ACADEMY_TRAINER_MEMORY_BYTES", "9" * 5000, "a whole number"),
        ("ACADEMY_LEASE_SECONDS", "1e300", "at most"),
        ("ACADEMY_HOME", "~nosuchuser/x", "a user of this machine"),
        ("ACADEMY_MODELS", "/a:~nosuchuser/x", "a user of this machine"),
        ("WORKSPACE_ROOT", "~nosuchuser/x", "a user of this machine"),
        ("ACADEMY_HOST", "256.1.1.1", "an IP address or the name of a host"),
        ("ACADEMY_HOST", "127.0.0.1:80", "an IP address or the name of a host"),
        ("ACADEMY_HOST", "two words", "an IP address or the name of a host"),
        ("ACADEMY_DATABASE_URL", "mysql://x", "a postgresql:// address"),
        ("ACADEMY_DATABASE_URL", "postgresql:x", "a postgresql:// address"),
        ("ACADEMY_DATABASE_URL", "postgresql://h:abc/x", "host and port can be read"),
        ("ACADEMY_DATABASE_URL", "postgresql://h:70000/x", "host and port can be read"),
        ("ACADEMY_DATABASE_URL", "postgresql://[::1/x", "host and port can be read"),
        ("ACADEMY_GANG_ADDRESS", "nonsense", "an IP address"),
        ("ACADEMY_DOCKER_USER", "root", "uid:gid"),
        ("ACADEMY_DOCKER_USER", "1:", "uid:gid"),
        ("ACADEMY_ENABLE_GPU", "auto", "true or 1"),
    ],
)
def test_a_bad_value_names_the_variable_the_value_and_what_is_allowed(
    variable: str, text: str, words: str
) -> None:
    with pytest.raises(BadSetting, match=words) as refused:
        Settings.from_env({variable: text})
    shown = repr(text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…")
    assert variable in str(refused.value) and shown in str(refused.value)


def test_white_space_alone_is_refused_by_every_setting() -> None:
    for name in (name for place in places() for name in place.rule.names):
        with pytest.raises(BadSetting, match=f"{name} is ' \\\\t'"):
            Settings.from_env({name: " \t"})
        assert Settings.from_env({name: ""}) == Settings.from_env({})


@pytest.mark.parametrize("text", ["x", "/a", "/a:b", "/a:/b:rw", "/ok:/in,/a:/b:rw"])
def test_a_mount_that_is_none_is_named(text: str) -> None:
    with pytest.raises(BadSetting, match="ACADEMY_DOCKER_MOUNTS") as refused:
        Settings.from_env({"ACADEMY_DOCKER_MOUNTS": text})
    assert repr(text.rpartition(",")[2]) in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:se/c?r#et@[::1]:5432/x?sslmode=require",
        "postgresql+psycopg://db",
        "postgres:///x?host=/run/postgresql",
        "postgresql://a@/x?host=one:1&host=two:2",
        "postgresql://",
    ],
)
def test_every_address_that_sqlalchemy_reads_is_taken(url: str) -> None:
    assert Settings.from_env({"ACADEMY_DATABASE_URL": url}).postgres.url == url


def test_a_password_in_a_refused_address_is_not_shown() -> None:
    for text in (
        "mysql://me:se/cr#et@db/x",
        "postgresql://me:se@cret@db/x",
        "me:secret@db",
        "mysql://db?password=secret",
    ):
        with pytest.raises(BadSetting, match="db") as refused:
            Settings.from_env({"ACADEMY_DATABASE_URL": text})
        assert "se" not in str(refused.value).partition(", but")[0]
    for text in ("http://me:secret@db", "me:secret@db", "redis://me:secret@db:port"):
        with pytest.raises(BadSetting, match=r"ACADEMY_REDIS_URL is .*db") as refused:
            require_address(Settings.from_env({"ACADEMY_REDIS_URL": text}))
        assert "se" not in str(refused.value).partition(", but")[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ACADEMY_LEASE_SECONDS": "1", "ACADEMY_HEARTBEAT_SECONDS": "100"}, ("1.0", "100.0")),
        ({"ACADEMY_LEASE_SECONDS": "15"}, ("15.0", "10.0")),
        ({"ACADEMY_HEARTBEAT_SECONDS": "31"}, ("60.0", "31.0")),
    ],
)
def test_a_heartbeat_that_would_lose_the_lease_is_refused_by_both_names(
    given: dict[str, str], words: tuple[str, str]
) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.from_env(given)
    for each in ("ACADEMY_LEASE_SECONDS", "ACADEMY_HEARTBEAT_SECONDS", *words):
        assert each in str(refused.value)
    half = {"ACADEMY_LEASE_SECONDS": "2", "ACADEMY_HEARTBEAT_SECONDS": "1"}
    assert Settings.from_env(half).jobs.heartbeat_seconds == 1.0


@pytest.mark.parametrize(
    ("variable", "text", "group", "field", "value"),
    [
        ("ENABLE_ACADEMY", "false", "", "enabled", False),
        ("WORKSPACE_ROOT", "/work", "git", "roots", (Path("/work"),)),
        ("DEFAULT_BASE_MODEL", "unsloth/Phi-3", "models", "base", "unsloth/Phi-3"),
        ("DEFAULT_LORA_RANK", "8", "training", "lora_rank", 8),
        ("DEFAULT_LEARNING_RATE", "1e-4", "training", "learning_rate", 1e-4),
        ("DEFAULT_NUM_EPOCHS", "5", "training", "num_epochs", 5),
        ("ENABLE_GPU", "False", "host", "enable_gpu", False),
        ("ACADEMY_ENABLE_GPU", "0", "host", "enable_gpu", False),
        ("TRAINING_IMAGE", "unsloth/unsloth:latest", "docker", "image", "unsloth/unsloth:latest"),
        ("ACADEMY_TRAINING_IMAGE", "mine:1", "docker", "image", "mine:1"),
        ("MIN_LESSONS_FOR_TRAINING", "50", "professor", "min_lessons", 50),
        ("ACADEMY_MIN_LESSONS", "50", "professor", "min_lessons", 50),
        ("MIN_TRAINING_INTERVAL_HOURS", "12", "professor", "interval_hours", 12.0),
        ("ACADEMY_MAX_LESSONS", "5000", "curation", "max_lessons", 5000),
        ("ACADEMY_GIT_COMMITS_LIMIT", "7", "curation", "git_commits_limit", 7),
    ],
)
def test_the_names_of_the_seeds_set_what_they_mean(
    variable: str, text: str, group: str, field: str, value: object
) -> None:
    settings = Settings.from_env({variable: text})
    found = getattr(getattr(settings, group) if group else settings, field)
    assert (found, type(found)) == (value, type(value))
    # A child that is told both our name and the inherited one sees no contradiction.
    assert Settings.from_env({variable: text, **settings.environ()}) == settings


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("ACADEMY_BASE_MODEL", "a"), ("DEFAULT_BASE_MODEL", "b")),
        (("ACADEMY_TRAINING_IMAGE", "a"), ("TRAINING_IMAGE", "b")),
        (("ACADEMY_LORA_RANK", "16"), ("DEFAULT_LORA_RANK", "8")),
        (("ACADEMY_ENABLE_GPU", "true"), ("ENABLE_GPU", "no")),
        (("ACADEMY_MIN_LESSONS", "100"), ("MIN_LESSONS_FOR_TRAINING", "50")),
    ],
)
def test_two_names_that_contradict_each_other_are_refused_by_both_names(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.from_env(dict([first, second]))
    for name, value in (first, second):
        assert name in str(refused.value) and repr(value) in str(refused.value)


def test_two_names_that_mean_the_same_go_together() -> None:
    given = {
        "ACADEMY_ENABLE_GPU": "no",
        "ENABLE_GPU": "FALSE",
        "ACADEMY_LEARNING_RATE": "0.0002",
        "DEFAULT_LEARNING_RATE": "2e-4",
        "ACADEMY_BASE_MODEL": "",  # empty is unset, as docker compose writes it
        "DEFAULT_BASE_MODEL": "other",
    }
    found = Settings.from_env(given)
    assert (found.host.enable_gpu, found.training.learning_rate) == (False, 2e-4)
    assert found.models.base == "other"


@pytest.mark.parametrize("word", ["true", "TRUE", "1", "Yes", "on"])
def test_a_boolean_is_written_in_several_ways(word: str) -> None:
    assert Settings.from_env({"ACADEMY_ALLOW_GIT_REMOTES": word}).git.remotes is True
    opposite = {"true": "false", "TRUE": "FALSE", "1": "0", "Yes": "No", "on": "off"}[word]
    assert Settings.from_env({"ACADEMY_ENABLED": opposite}).enabled is False


@pytest.mark.parametrize("word", ["debug", "Debug", "DEBUG"])
def test_a_level_of_the_log_is_written_in_any_case(word: str) -> None:
    assert Settings.from_env({"ACADEMY_LOG_LEVEL": word}).log_level == "DEBUG"


def test_lists_are_split_once() -> None:
    found = Settings.from_env(
        {
            "ACADEMY_MODELS": "/a::relative",
            "ACADEMY_RUNTIME_URL": "http://one/, http://two",
            "ACADEMY_DOCKER_IMAGES": "our/*, other:1,",
            "ACADEMY_DOCKER_COMMAND": "python3 '/my trainer'",
            "ACADEMY_LAUNCHER_FALLBACK": "native,cpu",
        }
    )
    assert found.models.folders == (Path("/a"), Path("relative").absolute())
    assert found.serving.urls == ("http://one", "http://two")
    assert found.docker.images == ("our/*", "other:1")
    assert found.docker.command == ("python3", "/my trainer")
    assert found.training.fallback == ("native", "cpu")
    assert Settings.from_env({"ACADEMY_RUNTIME_URL": ","}).serving.urls == ()


def test_a_child_process_gets_the_same_settings(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {"ACADEMY_HOME": str(tmp_path), "ACADEMY_PORT": "9000", "ACADEMY_REPO_ROOTS": "/a:/b"}
    )
    assert Settings.from_env(settings.environ()) == settings


def test_a_child_process_gets_every_setting_whatever_its_kind() -> None:
    values = {place.rule.key: _another(place) for place in places()}
    settings = Settings().changed(**values)
    for place in places():
        assert settings.value(place) != place.rule.default, place.rule.variable
    assert Settings.from_env(settings.environ()) == settings
    emptied = settings.changed(runtime_url=(), models=())
    assert Settings.from_env(emptied.environ()) == emptied


#: Values of those settings that have a form.
_FORMED = {
    "ACADEMY_DATABASE_URL": "postgresql://me@db/academy",
    "ACADEMY_GANG_ADDRESS": "10.0.0.7",
    "ACADEMY_DOCKER_MOUNTS": ("/a b:/c", "/d:/e"),
    "ACADEMY_DOCKER_USER": "1000:100",
}


def _another(place: Place) -> Any:
    """A value that the setting may have and does not have by default."""
    rule: Rule = place.rule
    if rule.variable in _FORMED:
        return _FORMED[rule.variable]
    if rule.choices:
        other = next(each for each in rule.choices if each != rule.default)
        return (other,) if rule.separator else other
    if rule.separator:
        return tuple(rule.element(each) for each in ("/a b", "/c")[: 1 + (rule.separator == " ")])
    if isinstance(rule.default, bool):
        return not rule.default
    if isinstance(rule.default, int | float):
        more = rule.default * 2 + 1 if rule.high is None else rule.high
        return type(rule.default)(more)
    return Path("/elsewhere") if isinstance(rule.default, Path) else "other"


def test_a_user_without_a_home_has_the_models_of_the_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)  # in no passwd
    found = Settings.from_env({"ACADEMY_HOME": str(tmp_path)})
    assert found.model_folders == [tmp_path / "models"]


def test_overrides_win_over_the_environment(tmp_path: Path) -> None:
    found = Settings.from_env({"ACADEMY_PORT": "9000"}, port=1234, home=tmp_path)
    assert (found.api.port, found.home) == (1234, tmp_path)


def test_settings_are_changed_by_the_names_of_their_variables() -> None:
    first = Settings()
    other = first.changed(docker_image="mine", lease_seconds=2.0, log_level="DEBUG")
    assert (other.docker.image, other.jobs.lease_seconds) == ("mine", 2.0)
    assert first == Settings()
    with pytest.raises(TypeError, match="lease_second"):
        first.changed(lease_second=2.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        other.docker.image = "yours"  # type: ignore[misc]


def test_every_setting_has_a_meaning_and_a_unit_in_its_name() -> None:
    for _, field, rule in places():
        assert rule.doc
        if isinstance(rule.default, float) and field != "learning_rate":  # which has no unit
            assert rule.variable.endswith(("_SECONDS", "_HOURS"))
            assert field.endswith(("seconds", "hours"))


def test_no_name_means_two_settings() -> None:
    names = [name for place in places() for name in place.rule.names]
    assert len(names) == len(set(names))
    assert all(place.rule.variable.startswith("ACADEMY_") for place in places())
