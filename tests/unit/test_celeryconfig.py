"""Celery is set up by names that Celery knows, and every queue has its task and its route."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten
from celery.exceptions import QueueNotFound
from kombu.transport.redis import Channel

from academy import queues
from academy.errors import BadSetting
from academy.jobs import kinds
from academy.lifecycle import JobKind

SOURCE = Path(__file__).parents[2] / "celeryconfig.py"
URL = "redis://127.0.0.1:6379/5"


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings that celeryconfig.py defines, without what it imports."""
    monkeypatch.setenv("ACADEMY_REDIS_URL", URL)
    module = runpy.run_path(str(SOURCE))
    return {name: module[name] for name in _assigned() if name.islower()}


@pytest.fixture
def app(config: dict[str, Any]) -> Celery:
    celery = Celery("test", set_as_current=False)
    celery.config_from_object(config)
    return celery


def test_no_setting_has_a_name_that_celery_does_not_know(config: dict[str, Any]) -> None:
    assert set(config) - {name for name, _ in flatten(NAMESPACES)} == set()


def test_no_transport_option_has_a_name_that_the_redis_transport_does_not_know(
    config: dict[str, Any],
) -> None:
    assert set(config["broker_transport_options"]) - set(Channel.from_transport_options) == set()


def test_every_setting_has_its_reason_above_it() -> None:
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    bare = [
        name
        for name, line in _assigned().items()
        if name != "broker_transport_options" and not lines[line - 2].startswith("#")
    ]
    assert bare == []


def test_every_queue_has_a_task_and_every_task_goes_to_its_queue(app: Celery) -> None:
    assert set(app.amqp.queues) == set(queues.QUEUES) == set(queues.TASKS)
    for queue, task in queues.TASKS.items():
        assert app.amqp.router.route({}, task)["queue"].name == queue


def test_every_kind_of_job_has_a_queue_that_exists() -> None:
    assert {kind.name for kind in kinds.every()} == set(JobKind)
    assert {kind.queue for kind in kinds.every()} <= set(queues.QUEUES)


def test_a_task_without_a_route_cannot_occupy_a_gpu(app: Celery) -> None:
    assert app.amqp.router.route({}, "academy.forgotten")["queue"].name == queues.CURATION


def test_a_queue_that_is_not_declared_is_refused(app: Celery) -> None:
    with pytest.raises(QueueNotFound, match="tpu"):
        app.amqp.router.route({"queue": "tpu"}, queues.TASKS[queues.GPU])


def test_the_broker_is_the_one_of_the_settings(app: Celery) -> None:
    assert app.conf.broker_url == URL


def test_without_a_broker_the_variable_to_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACADEMY_REDIS_URL", raising=False)
    with pytest.raises(BadSetting, match="ACADEMY_REDIS_URL"):
        runpy.run_path(str(SOURCE))


def _assigned() -> dict[str, int]:
    """The names assigned at the top level of celeryconfig.py, with their line numbers."""
    return {
        target.id: statement.lineno
        for statement in ast.parse(SOURCE.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
