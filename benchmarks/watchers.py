"""Live events for many watchers, beside a plain flask-sock server in the same run.

    python benchmarks/watchers.py [--only many,plain,...] [--watchers 1000]

The real stack (PostgreSQL, Valkey, keeper, model server, one API process), raw websocket clients
in a process of their own on the same cores, a writer of events as a worker has it, and another
process that asks the API and the model meanwhile. Each part prints what was delivered, lost and
doubled, how late lines came, how long requests took, memory and processor time.

- many: 300 lines at 50 a second, then 5,000 at once, to all watchers of one job.
- plain: the same to the same clients from Flask, flask-sock and Redis pub/sub.
- cost: as many, with nobody asking, for the processor time beside that of the plain server.
- replay: 100,000 lines of a job to 50 watchers that join at once.
- spread: 200 watchers over 50 jobs, and 500 more that join, leave and abort at random.
- stuck: 100 watchers, then beside one that stops reading for 30 s, then beside 100 that never read.
- restarts: 200 watchers that resume, while in mid-burst Valkey is restarted, the API is restarted,
  and the writer is killed and a second attempt goes on.

Results go to benchmarks/results/watchers.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import redis
from service_sides.waiting import answers, wait_for
from watcher_sides.driving import Asking, Peak, Server, churn, clients, wait_until
from watcher_sides.stack import MODEL, Stack, stack
from watcher_sides.writer import TEXT

from academy import __version__
from academy.embedded.program import free_port
from academy.embedded.valkey import EmbeddedValkey
from academy.events.sender import EventSender
from academy.host.processes import end_group, spawn

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "watchers.json"
SIDES = ROOT / "benchmarks" / "watcher_sides"
STEADY, STEADY_RATE, BURST = 300, 50, 5000


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="many,cost,plain,replay,spread,stuck,restarts")
    parser.add_argument("--watchers", type=int, default=1000)
    options = parser.parse_args()
    result: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory(prefix="bench-watchers-") as folder:
            figures = PARTS[name](Path(folder), options.watchers)
        result[f"{name}_{options.watchers}" if name in BY_COUNT else name] = figures
        print(json.dumps({name: figures}, indent=1), flush=True)
    result["measured"] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "academy": __version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def many(folder: Path, count: int, *, asked: bool = True) -> dict[str, Any]:
    """Steady lines, then a burst, to all watchers of one job of the real stack."""
    with stack(folder) as made, EventSender(made.settings, made.sessions) as sender:
        job_id = made.new_job()
        with sender.open(job_id, 1) as events:
            return deliver(
                server_of(made),
                [made.path(job_id)] * count,
                lambda text: events.emit("log", message=text),
                (lambda: Asking(made.url, made.headers, MODEL)) if asked else None,
            )


def cost(folder: Path, count: int) -> dict[str, Any]:
    """As `many`, with nobody asking."""
    return many(folder, count, asked=False)


def plain(folder: Path, count: int) -> dict[str, Any]:
    """The same lines to the same clients, from the plain server."""
    valkey = EmbeddedValkey(folder / "valkey")
    url, port = valkey.start(), free_port()
    command = [sys.executable, str(SIDES / "plain.py"), str(port), url]
    with (folder / "log").open("wb") as log:
        process = spawn(command, env=dict(os.environ), stdout=log, stderr=log)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the plain server", 60)
        client = redis.Redis.from_url(url)
        number = 0

        def say(text: str) -> None:
            nonlocal number
            number += 1
            line = {"id": f"1-{number}", "type": "log", "timestamp": "", "message": text}
            client.publish("plain", json.dumps(line))

        master = psutil.Process(process.pid)
        server = Server(port, {}, [master, *master.children(recursive=True)])
        return deliver(server, ["/watch"] * count, say)
    finally:
        end_group(process, grace_seconds=5)
        valkey.stop()


def replay(folder: Path, count: int) -> dict[str, Any]:
    """A hundred thousand lines to fifty who join at once."""
    lines, joiners = 100_000, 50
    with stack(folder) as made, EventSender(made.settings, made.sessions) as sender:
        job_id = made.new_job()
        valkey = redis.Redis.from_url(made.settings.redis.url)
        with sender.open(job_id, 1) as events:
            for number in range(lines):
                events.emit("log", message=f"{time.time():.6f} {TEXT.format(number)}")
            wait_for(lambda: not events.waiting, "all lines are archived", 120)
            path, before = made.path(job_id), connections(valkey)
            began = time.time()
            with clients(server_of(made), [path] * joiners, {path: lines}, steady=0) as found:
                found.wait()
            after = connections(valkey)
    seconds = found["all_done_at"] - began
    return {
        **found,
        "seconds": round(seconds, 2),
        "lines_per_second": round(joiners * lines / seconds),
        "redis_connections_before": before,
        "redis_connections_after": after,
    }


def spread(folder: Path, count: int) -> dict[str, Any]:
    """Watchers over many jobs, some of which come and go."""
    lines, rate = 120, 1.0
    with stack(folder) as made, EventSender(made.settings, made.sessions) as sender:
        server, over = server_of(made), threading.Event()
        job_ids = [made.new_job() for _ in range(50)]
        writers = [sender.open(each, 1) for each in job_ids]
        paths = [made.path(each) for each in job_ids]
        churn(server, paths, 100, 5.0)  # until pools have the connections that they keep
        wait_for(lambda: made.metric("academy_watchers") == 0, "all are gone", 30)
        before = (server.memory_mib(), server.files())

        def say() -> None:
            begin = time.monotonic()
            for number in range(lines):
                wait_until(begin + number / rate)
                for each in writers:
                    each.emit("log", message=f"{time.time():.6f} {TEXT.format(number)}")
            for each in writers:
                each.emit("status", status="finished")
                each.close()
            over.set()

        with clients(server, paths * 4, dict.fromkeys(paths, 0), steady=lines) as found:
            thread = threading.Thread(target=say)
            thread.start()
            visits = churn(server, paths, 500, lines / rate - 10)
            followed = made.metric("academy_followed_jobs")
            during = (server.memory_mib(), server.files())
            found.wait()
            thread.join()
        wait_for(lambda: made.metric("academy_watchers") == 0, "all are gone", 30)
        after = (server.memory_mib(), server.files())
    return {
        **found,
        "visits": visits,
        "jobs": len(job_ids),
        "followed_jobs": followed,
        "memory_mib": [round(each[0], 1) for each in (before, during, after)],
        "files": [each[1] for each in (before, during, after)],
    }


def stuck(folder: Path, count: int) -> dict[str, Any]:
    """Whether those who do not read keep others waiting."""
    figures: dict[str, Any] = {}
    with stack(folder) as made, EventSender(made.settings, made.sessions) as sender:
        for name, readers, pauses in (
            ("alone", 100, {}),
            ("beside_one_for_30_s", 100, {"100": 30.0}),
            ("beside_100_for_ever", 100, {str(100 + each): 600.0 for each in range(100)}),
            ("alone_again", 100, {}),
        ):
            job_id = made.new_job()
            path = made.path(job_id)
            lines = 2000
            paths = [path] * readers
            others = [path] * len(pauses)
            with ExitStack() as held, sender.open(job_id, 1) as events:
                late = None
                if others:
                    shifted = {str(at): seconds for at, seconds in enumerate(pauses.values())}
                    late = held.enter_context(
                        clients(server_of(made), others, {path: 0}, steady=0, pauses=shifted)
                    )
                found = held.enter_context(clients(server_of(made), paths, {path: 0}, steady=lines))
                begin = time.monotonic()
                for number in range(lines):
                    wait_until(begin + number / STEADY_RATE)
                    text = f"{time.time():.6f} {TEXT.format(number)} {'x' * 400}"
                    events.emit("log", message=text)
                events.emit("status", status="finished")
                found.wait()
                if len(others) == 1 and late is not None:
                    late.wait()
                    figures["the_one"] = dict(late)
            figures[name] = dict(found)
    base = max(figures["alone"]["latency_p99"], figures["alone_again"]["latency_p99"])
    for name in ("beside_one_for_30_s", "beside_100_for_ever"):
        figures[f"{name}_p99_ratio"] = round(figures[name]["latency_p99"] / base, 2)
    return figures


def restarts(folder: Path, count: int) -> dict[str, Any]:
    """What 200 watchers that resume get while something is restarted under them."""
    figures: dict[str, Any] = {}
    with stack(folder) as made:
        for name in ("valkey", "api", "writer"):
            job_id = made.new_job()
            path = made.path(job_id)
            server = server_of(made)
            with clients(server, [path] * 200, {path: 0}, steady=0, resume=True) as found:
                writer = made.writer(job_id, 1, lines=6000, rate=1000.0)
                try:
                    made.wait_for_lines(job_id, 2000)
                    if name == "valkey":
                        made.valkey.stop()
                        made.valkey.start()
                    elif name == "api":
                        end_group(made.processes["api"], grace_seconds=20)
                        made.start("api")
                    else:
                        writer.kill()
                        writer.wait()
                        writer = made.writer(job_id, 2, lines=3000, rate=1000.0)
                    writer.wait(timeout=120)
                    found.wait()
                finally:
                    end_group(writer, grace_seconds=5)
            figures[name] = {**found, "archived": made.archived(job_id)}
    return figures


def server_of(made: Stack) -> Server:
    """The API of the stack, as it runs now."""
    return Server(made.settings.api.port, made.headers, made.api_processes())


def connections(valkey: redis.Redis) -> int:
    """Clients that are connected to Valkey now."""
    info: Any = valkey.info("clients")
    return int(info["connected_clients"])


def deliver(
    server: Server,
    paths: list[str],
    say: Callable[[str], Any],
    begin_asking: Callable[[], Asking] | None = None,
) -> dict[str, Any]:
    """Send the steady lines and the burst to clients, and tell what came of it."""
    before, asking = server.memory_mib(), None
    peak = Peak(server)
    wanted = dict.fromkeys(paths, STEADY + BURST)
    with clients(server, paths, wanted, steady=STEADY) as found, peak:
        try:
            asking = begin_asking() if begin_asking is not None else None
            cpu, connected = server.cpu_seconds(), server.memory_mib()
            begin = time.monotonic()
            for number in range(STEADY):
                wait_until(begin + number / STEADY_RATE)
                say(f"{time.time():.6f} {TEXT.format(number)}")
            wait_until(begin + STEADY / STEADY_RATE + 1.0)
            steady_cpu = server.cpu_seconds() - cpu
            burst_at = time.time()
            for number in range(BURST):
                say(f"{time.time():.6f} {TEXT.format(number)}")
            said = time.time()
            found.wait()
            all_cpu = server.cpu_seconds() - cpu
            if asking is not None:
                found["requests"] = asking.stop()
        finally:
            if asking is not None:
                asking.kill()
    return {
        **found,
        "burst_said_in_seconds": round(said - burst_at, 2),
        "burst_caught_up_seconds": round(found["all_done_at"] - said, 2),
        "memory_before_mib": round(before, 1),
        "memory_connected_mib": round(connected, 1),
        "memory_peak_mib": round(peak.mib, 1),
        "memory_after_mib": round(server.memory_mib(), 1),
        "steady_cpu_seconds": round(steady_cpu, 2),
        "cpu_seconds": round(all_cpu, 2),
        "cpu_ms_per_line": round(all_cpu / (STEADY + BURST) * 1e3, 3),
    }


PARTS = {
    "many": many,
    "cost": cost,
    "plain": plain,
    "replay": replay,
    "spread": spread,
    "stuck": stuck,
    "restarts": restarts,
}
BY_COUNT = {"many", "cost", "plain"}


if __name__ == "__main__":
    main()
