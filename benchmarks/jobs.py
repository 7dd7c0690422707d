"""No-op jobs: how many a second, how soon one runs, and whether a long queue slows a claim.

Academy, bare Celery with a Redis result backend, rq and procrastinate run in turns on the same
PostgreSQL and Valkey, each with two worker processes that run one job at a time. Academy's jobs are
submitted over its HTTP API (the others have none and are called in this process), and it keeps a
history of transitions, a lease and an event log for each job. The queue test compares claims of
1,000 and of 100,000 queued jobs of ten roles, in turns, and prints the plan of the claim.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg

from academy.embedded.postgres import EmbeddedPostgres
from academy.embedded.program import free_port
from academy.embedded.valkey import EmbeddedValkey
from academy.host.processes import end_group, spawn
from academy.settings import Settings
from academy.store import migrate
from academy.store.engine import make_sessions
from academy.store.jobs import fair_share, transitions
from academy.store.jobs.transitions import Claim

SIDES_FOLDER = Path(__file__).parent / "job_sides"
RESULTS = Path(__file__).parent / "results" / "jobs.json"
WORKERS = 2
ROUNDS = 7
JOBS = 300
PICKUPS = 50
CLAIMS = 200
SHORT, LONG, ROLES = 1_000, 100_000, 10


class Side:
    """A queue with its workers: submit one, see when it started, count what is done."""

    def __init__(
        self, name: str, commands: list[list[str]], env: dict[str, str], log: Path
    ) -> None:
        self.name = name
        with log.open("wb") as output:
            self.processes = [
                spawn(command, env={**os.environ, **env}, stdout=output, stderr=output)
                for command in commands
            ]

    def submit(self, marker: str) -> str:
        """Returns when the side has accepted the job; its handle."""
        raise NotImplementedError

    def started(self, handle: str) -> float | None:
        """When the job began to run, in seconds since 1970."""
        raise NotImplementedError

    def done(self) -> int:
        """Jobs in a terminal state."""
        raise NotImplementedError

    def close(self) -> None:
        for process in self.processes:
            end_group(process, grace_seconds=10)


class Academy(Side):
    def __init__(self, settings: Settings, folder: Path) -> None:
        python = sys.executable
        worker = [python, str(SIDES_FOLDER / "academy_worker.py"), "curation"]
        commands = [[python, "-m", "academy.api"], [python, "-m", "workers.keeper"]]
        root = str(Path(__file__).parents[1])
        env = {**settings.environ(), "PYTHONPATH": root}
        super().__init__("academy", commands + [worker] * WORKERS, env, folder / "academy.log")
        self._database = psycopg.connect(settings.postgres.url, autocommit=True)
        url = f"http://127.0.0.1:{settings.api.port}"
        _until(lambda: _answers(f"{url}/readyz"), "the API")
        key = (settings.home / "admin.key").read_text().strip()
        self._port = settings.api.port
        self._headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=0"}
        self._headers["Content-Type"] = "application/json"
        #: A connection of each thread. The client runs on the same cores, so it is a plain one.
        self._local = threading.local()

    def submit(self, marker: str) -> str:
        if not hasattr(self._local, "http"):
            self._local.http = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection: http.client.HTTPConnection = self._local.http
        body = '{"git_commits_limit": 0}'
        connection.request("POST", "/api/v1/academy/dataset", body, self._headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 202:
            raise RuntimeError(text.decode())
        return str(json.loads(text)["job_id"])

    def started(self, handle: str) -> float | None:
        found = self._database.execute(
            "SELECT extract(epoch FROM at)::float8 FROM job_transitions"
            " WHERE job_id = %s AND to_status = 'running'",
            (handle,),
        ).fetchone()
        return None if found is None else found[0]

    def done(self) -> int:
        return _count(self._database, "SELECT count(*) FROM jobs WHERE status = 'finished'")

    def close(self) -> None:
        self._database.close()
        super().close()


class Peer(Side):
    """Celery, rq or procrastinate."""

    def __init__(self, name: str, env: dict[str, str], folder: Path) -> None:
        command = [sys.executable, str(SIDES_FOLDER / "peers.py"), name]
        super().__init__(name, [command] * WORKERS, env, folder / f"{name}.log")
        import peers

        self._peers = peers
        self._database = psycopg.connect(peers.DATABASE, autocommit=True)

    def submit(self, marker: str) -> str:
        if self.name == "celery":
            self._peers.celery_noop.delay(marker)
        elif self.name == "rq":
            self._peers.rq_queue.enqueue(self._peers.noop, marker)
        else:
            self._peers.procrastinate_noop.defer(marker=marker)
        return marker

    def started(self, handle: str) -> float | None:
        found = self._peers.MARKERS.get(handle)
        return None if found is None else float(found)

    def done(self) -> int:
        if self.name == "celery":
            return int(self._peers.celery_results.dbsize())
        if self.name == "rq":
            return int(self._peers.rq_queue.finished_job_registry.count)
        return _count(
            self._database, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
        )

    def close(self) -> None:
        self._database.close()
        super().close()


def main() -> None:
    """Measure the sides in turns, print the table, write the JSON."""
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres = EmbeddedPostgres(folder / "postgres")
        valkey = EmbeddedValkey(folder / "valkey")
        url, redis_url = postgres.start(), valkey.start()
        try:
            values = _compare_sides(url, redis_url, folder)
            queue = _compare_queues(url)
        except BaseException:
            for log in folder.glob("*.log"):
                sys.stderr.write(f"--- the end of {log.name}\n{log.read_text()[-6000:]}\n")
            raise
        finally:
            valkey.stop()
            postgres.stop()
    load.append(os.getloadavg()[0])
    result = {"cores": os.cpu_count(), "load_average": load, "workers": WORKERS, "rounds": ROUNDS}
    result |= {"jobs_a_round": JOBS, "sides": values, "queue": queue}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    _print(values, queue)


def _compare_sides(url: str, redis_url: str, folder: Path) -> dict[str, dict[str, float]]:
    academy_url, peer_url = _database(url, "bench_academy"), _database(url, "bench_peers")
    migrate.upgrade(academy_url)
    settings = Settings().changed(
        home=folder / "home",
        database_url=academy_url,
        redis_url=redis_url,
        port=free_port(),
        log_level="WARNING",
    )
    env = {
        "BENCH_DATABASE_URL": peer_url,
        "BENCH_REDIS_URL": redis_url.rpartition("/")[0],
        "PYTHONPATH": str(SIDES_FOLDER),
    }
    os.environ.update(env)
    sys.path.insert(0, str(SIDES_FOLDER))
    import peers

    connector = peers.procrastinate.SyncPsycopgConnector(conninfo=peer_url)
    with peers.procrastinate_app.replace_connector(connector) as app, app.open():
        app.schema_manager.apply_schema()
        sides: list[Side] = []
        try:
            for name in ("procrastinate", "rq", "celery"):
                sides.append(Peer(name, env, folder))
            sides.append(Academy(settings, folder))
            return _measure(sides)
        finally:
            for side in sides:
                side.close()


def _measure(sides: list[Side]) -> dict[str, dict[str, float]]:
    rates: dict[str, list[float]] = {side.name: [] for side in sides}
    waits: dict[str, list[float]] = {side.name: [] for side in sides}
    for side in sides:
        _rate(side, 40)  # warms every process up
    for turn in range(ROUNDS):
        for side in sides:
            rates[side.name].append(_rate(side, JOBS))
            waits[side.name] += _pickups(side, turn)
    return {
        name: {
            "jobs_per_second": round(statistics.median(rates[name]), 1),
            "pickup_p50_ms": round(1000 * statistics.median(waits[name]), 1),
            "pickup_p99_ms": round(1000 * statistics.quantiles(waits[name], n=100)[98], 1),
        }
        for name in rates
    }


def _rate(side: Side, count: int) -> float:
    """Jobs a second from the first submission to the last terminal state."""
    before, began = side.done(), time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(side.submit, [""] * count))
    _until(lambda: side.done() >= before + count, f"the jobs of {side.name}")
    return count / (time.monotonic() - began)


def _pickups(side: Side, turn: int) -> list[float]:
    """Seconds from acceptance (the 202) to the start, with nothing else in the queue."""
    waits = []
    for number in range(PICKUPS):
        done = side.done()
        handle = side.submit(f"{side.name}-{turn}-{number}")
        accepted = time.time()
        _until(lambda: side.done() > done, f"a job of {side.name}")  # noqa: B023
        started = side.started(handle)
        assert started is not None
        # A worker may be quicker than the answer on its way to us.
        waits.append(max(0.0, started - accepted))
    return waits


def _compare_queues(url: str) -> dict[str, Any]:
    times: dict[int, list[float]] = {SHORT: [], LONG: []}
    sessions = {}
    for length in times:
        database = _database(url, f"bench_queue_{length}")
        migrate.upgrade(database)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO jobs (id, kind, queue, status, priority, role, fence, attempt,"
                " crashes, parameters) SELECT 'job' || n, 'training', 'gpu', 'queued', n %% 2,"
                " 'role' || n %% %s, 0, 0, 0, '{}' FROM generate_series(1, %s) AS n",
                (ROLES * 2 - 1, length),
            )
            connection.execute("VACUUM ANALYZE jobs")
        sessions[length] = make_sessions(Settings().changed(database_url=database))
    for number in range(CLAIMS + 20):
        for length, make in sessions.items():
            began = time.perf_counter()
            with make.begin() as session:
                job = transitions.claim(session, "gpu", "bench", 60)
            took = time.perf_counter() - began
            assert job is not None
            with make.begin() as session:
                transitions.finish(session, Claim(job.id, job.fence, job.attempt, "bench"), {})
            if number >= 20:  # by then statements are prepared and pages are in memory
                times[length].append(took)
    with psycopg.connect(_address(url, f"bench_queue_{LONG}")) as connection:
        statement = fair_share.explain("gpu")
        rows = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}").fetchall()
    medians = {length: 1000 * statistics.median(each) for length, each in times.items()}
    return {
        "shares": ROLES * 2 - 1,
        "claim_ms": {str(length): round(each, 3) for length, each in medians.items()},
        "ratio": round(medians[LONG] / medians[SHORT], 3),
        "explain": [str(row[0]) for row in rows],
    }


def _database(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return _address(url, name)


def _address(url: str, name: str) -> str:
    return url.rpartition("/")[0] + f"/{name}"


def _count(connection: psycopg.Connection[Any], statement: str) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come in {seconds:g} s")
        time.sleep(0.003)


def _print(values: dict[str, dict[str, float]], queue: dict[str, Any]) -> None:
    print(f"{'':16}{'jobs/s':>10}{'p50 ms':>10}{'p99 ms':>10}   from accepted to running")
    for name, row in values.items():
        print(f"{name:16}" + "".join(f"{each:10.1f}" for each in row.values()))
    ratio = values["academy"]["jobs_per_second"] / values["procrastinate"]["jobs_per_second"]
    print(f"\njobs/s of academy / procrastinate: {ratio:.2f}")
    print(f"a claim, by queued jobs, in ms: {queue['claim_ms']}; ratio {queue['ratio']}")
    print("\n".join(queue["explain"]))


if __name__ == "__main__":
    main()
