"""What a request leaves out comes from the settings, also under the names that the seeds use."""

from __future__ import annotations

from typing import Any

import pytest

from academy.api.app import create_app
from academy.dashboard.forms import curation_form, training_form
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs

GIVEN = {
    "DEFAULT_LORA_RANK": "4",
    "DEFAULT_LEARNING_RATE": "1e-3",
    "DEFAULT_NUM_EPOCHS": "7",
    "ACADEMY_MAX_LESSONS": "5000",
    "ACADEMY_GIT_COMMITS_LIMIT": "0",
    "MIN_LESSONS_FOR_TRAINING": "50",
    "MIN_TRAINING_INTERVAL_HOURS": "12",
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """As an installation has them whose .env was written after the seeds."""
    return Settings.from_env({**settings.environ(), **GIVEN})


def recipe(admin: Any, **wanted: Any) -> tuple[Any, ...]:
    """Rank, learning rate and epochs of a training that asks for this."""
    parameters = admin.post("/train", json=wanted).json["parameters"]
    return tuple(parameters[name] for name in ("lora_rank", "learning_rate", "num_epochs"))


def test_a_training_that_names_nothing_takes_the_defaults_of_the_settings(admin, dataset) -> None:
    assert recipe(admin) == (4, 1e-3, 7)
    assert recipe(admin, lora_rank=16, num_epochs=3) == (16, 1e-3, 3)  # the recipe's own defaults


def test_a_preset_wins_where_it_says_something(admin, dataset) -> None:
    assert recipe(admin, preset="small") == (8, 1e-3, 1)
    assert recipe(admin, preset="quality", num_epochs=2) == (32, 1e-4, 2)
    assert recipe(admin, preset="default") == (4, 1e-3, 7)


def test_a_curation_that_names_nothing_takes_the_limits_of_the_settings(admin, sessions) -> None:
    def limits(**wanted: Any) -> tuple[int, int]:
        answer = admin.post("/dataset", json=wanted, headers={"Prefer": "wait=0"})
        with sessions() as session:
            made = jobs.get(session, answer.json["job_id"]).parameters
        return made["lessons_limit"], made["git_commits_limit"]

    assert limits() == (5000, 0)
    assert limits(lessons_limit=200) == (200, 0)


def test_all_trials_of_a_sweep_share_the_defaults_of_its_beginning(
    admin, dataset, settings: Settings, sessions: Sessions
) -> None:
    wanted = {"knobs": {"lora_rank": {"values": [8, 16]}}, "method": "grid"}
    made = admin.post("/train/sweep", json=wanted)
    assert made.status_code == 202, made.json
    trials = admin.get(f"/train/sweep/{made.json['sweep_id']}").json["trials"]
    with sessions() as session:
        shared = [jobs.get(session, each["job_id"]).parameters for each in trials]
    assert [each["lora_rank"] for each in shared] == [8, 16]
    assert {(each["learning_rate"], each["num_epochs"]) for each in shared} == {(1e-3, 7)}


def test_the_status_tells_the_defaults(admin) -> None:
    shown = admin.get("/status").json
    assert shown["enabled"] is True
    wanted = {
        "min_lessons": 50,
        "training_interval_hours": 12.0,
        "default_lora_rank": 4,
        "default_learning_rate": 1e-3,
        "default_num_epochs": 7,
        "max_lessons": 5000,
        "git_commits_limit": 0,
    }
    assert wanted.items() <= shown["config"].items()


def test_the_forms_are_filled_in_with_the_defaults(settings: Settings) -> None:
    shown = {each.name: each.default for each in training_form(settings).fields}
    assert (shown["lora_rank"], shown["learning_rate"], shown["num_epochs"]) == (4, 1e-3, 7)
    shown = {each.name: each.default for each in curation_form(settings).fields}
    assert (shown["lessons_limit"], shown["git_commits_limit"]) == (5000, 0)


def test_the_published_description_is_that_of_every_installation(app, settings: Settings) -> None:
    servers = {"database_url": settings.postgres.url, "redis_url": settings.redis.url}
    plain = create_app(Settings().changed(home=settings.home, **servers))
    try:
        assert app.spec == plain.spec
    finally:
        plain.extensions["academy"].close()
