"""The settings do what their comments say, against a real Valkey and a real worker process."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from academy import queues
from tests.waiting import until

ROOT = Path(__file__).parents[2]
WORKER = """
import os, sys
from pathlib import Path
from celery import Celery

app = Celery("fixture")
app.config_from_object("celeryconfig")

@app.task(name="academy.train")
def train(job_id):
    Path(os.environ["NOTES"]).joinpath(job_id).write_text(str(os.getpid()))

app.worker_main(["worker", "--queues", "gpu", "--without-gossip", "--without-mingle"])
"""


@pytest.fixture
def app(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    monkeypatch.setenv("ACADEMY_REDIS_URL", valkey_url)
    celery = Celery("test", set_as_current=False)
    celery.config_from_object(runpy.run_path(str(ROOT / "celeryconfig.py")))
    yield celery
    celery.close()


def test_a_hint_lands_in_its_queue_even_right_after_redis_was_flushed(
    app: Celery, valkey_url: str
) -> None:
    for queue, task in queues.TASKS.items():
        app.send_task(task, args=["before"])
        with redis.Redis.from_url(valkey_url, socket_timeout=10) as client:
            client.flushall()
            app.send_task(task, args=["after"])
            messages = [json.loads(each) for each in client.lrange(queue, 0, -1)]
        assert len(messages) == 1
        assert messages[0]["headers"]["argsrepr"] == "['after']"
        assert messages[0]["content-type"] == "application/json"


def test_a_worker_of_the_queue_runs_the_hint_in_its_main_process_and_ends_on_sigterm(
    app: Celery, valkey_url: str, tmp_path: Path
) -> None:
    app.send_task(queues.TASKS[queues.CURATION], args=["not-mine"])
    app.send_task(queues.TASKS[queues.GPU], args=["job-1"])
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=ROOT,
        env=os.environ | {"ACADEMY_REDIS_URL": valkey_url, "NOTES": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        noted = tmp_path / "job-1"
        until(
            lambda: worker.poll() is not None or (noted.exists() and noted.read_text()),
            60,
            "the worker runs the hint",
        )
        assert worker.poll() is None, worker.communicate()[0].decode()
        worker.terminate()
        output = worker.communicate(timeout=60)[0].decode()
    finally:
        worker.kill()
        worker.wait()
    assert (tmp_path / "job-1").read_text() == str(worker.pid)
    assert not (tmp_path / "not-mine").exists()
    assert worker.returncode == 0, output
    with redis.Redis.from_url(valkey_url, socket_timeout=10) as client:
        assert client.llen(queues.CURATION) == 1
        assert client.hlen("unacked") == 0, "the hint was acknowledged before the work"
