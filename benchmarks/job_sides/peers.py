"""The same no-op job under Celery, rq and procrastinate: ``python peers.py SIDE`` is a worker.

The addresses come from ``BENCH_DATABASE_URL`` and ``BENCH_REDIS_URL`` (without a database number;
each side has numbers of its own). A job that is given a marker leaves the time of its start there.
"""

from __future__ import annotations

import os
import sys
import time

import procrastinate
import redis
import rq
from celery import Celery

REDIS = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:1")
DATABASE = os.environ.get("BENCH_DATABASE_URL", "")
MARKERS = redis.Redis.from_url(f"{REDIS}/1")

celery_results = redis.Redis.from_url(f"{REDIS}/3")
celery_app = Celery("bench", broker=f"{REDIS}/2", backend=f"{REDIS}/3")
rq_connection = redis.Redis.from_url(f"{REDIS}/4")
rq_queue = rq.Queue("bench", connection=rq_connection)
procrastinate_app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=DATABASE))


def noop(marker: str) -> None:
    """Nothing, or the note that it began."""
    if marker:
        MARKERS.set(marker, time.time())


@celery_app.task(name="noop")
def celery_noop(marker: str) -> None:
    noop(marker)


@procrastinate_app.task(name="noop")
async def procrastinate_noop(marker: str) -> None:
    noop(marker)


def work(side: str) -> None:
    """One worker process of a side, which runs one job at a time."""
    if side == "celery":
        celery_app.worker_main(
            ["worker", "--pool=solo", "--loglevel=ERROR", "--without-gossip", "--without-mingle"]
        )
    elif side == "rq":
        # The worker that does not fork for each job, which is rq's fastest.
        rq.SimpleWorker([rq_queue], connection=rq_connection).work(logging_level="ERROR")
    else:
        procrastinate_app.run_worker(concurrency=1, delete_jobs="never")


if __name__ == "__main__":
    work(sys.argv[1])
