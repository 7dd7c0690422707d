"""How long requests take under load, and whether large or hostile bodies keep others waiting.

    python benchmarks/requests.py [--seconds 60] [--only load|bodies]

Both against ``academy up`` with its model server, on the same cores as the clients, once what
starts in the background is done:

- load: 200 requests a second from 16 connections over the routes that dashboards and agents use
  most, each sent at its moment whether the one before was answered or not. A request's time counts
  from the moment at which it was due, so a stall is seen by all that it delays.
- bodies: four clients send bodies of up to 16 MB, good and hostile, one after the other, with
  Content-Length and in chunks, to routes of all kinds; another process asks ``/healthz`` meanwhile.
  The idle figures before it are the comparison.

Results go to benchmarks/results/requests.json.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from academy import __version__

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "requests.json"
API = "/api/v1/academy"
RATE, CONNECTIONS = 200, 16
SENDERS = 4
MIB = 1 << 20
NDJSON = "application/x-ndjson"
FORM = "multipart/form-data; boundary=x"


def main() -> None:
    """Measure both, print the figures, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", choices=("load", "bodies"))
    asked = parser.parse_args()
    result: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with academy() as (address, key):
        come_to_rest()
        for name, measure in (("load", load), ("bodies", bodies)):
            if asked.only in (None, name):
                result[name] = measure(address, key, asked.seconds)
                print(json.dumps({name: result[name]}, indent=1))
    result["measured"] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "academy": __version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average_at_the_end": round(os.getloadavg()[0], 2),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


@contextmanager
def academy() -> Iterator[tuple[str, str]]:
    """A new home with ``academy up`` in it: host:port and an admin key."""
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "academy.cli", "up", "--port", "0", "--json"],
            env={**os.environ, "ACADEMY_HOME": home},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield ready["url"].partition("://")[2], Path(home, "admin.key").read_text().strip()
        finally:
            process.terminate()
            process.wait(timeout=120)


def come_to_rest() -> None:
    """Wait until workers have imported what they will need, which they do after the start."""
    until = time.monotonic() + 60
    while psutil.cpu_percent(interval=2.0) > 10 and time.monotonic() < until:
        pass


def load(address: str, key: str, seconds: float) -> dict[str, Any]:
    """Latencies by route at `RATE` requests a second."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    number = itertools.count()

    def lesson() -> bytes:
        at = next(number)
        return json.dumps(
            {"situation": f"How is {at} done? " * 9, "solution": "So. " * 90}
        ).encode()

    def run() -> bytes:
        at = next(number)
        sent = {"prompt": f"Do {at}. " * 20, "answer": "Done. " * 90, "reward": 0.5}
        return json.dumps(sent).encode()

    routes = [
        ("GET", "/status", None),
        ("GET", "/jobs", None),
        ("GET", "/lessons", None),
        ("GET", "/adapters", None),
        ("POST", "/lessons", lesson),
        ("POST", "/runs", run),
    ]
    taken: dict[str, list[float]] = defaultdict(list)
    answers: Counter[str] = Counter()
    began = time.monotonic() + 0.5

    def connection(index: int) -> None:
        client = http.client.HTTPConnection(address, timeout=60)
        for turn in itertools.count():
            due = began + (turn * CONNECTIONS + index) / RATE
            if due > began + seconds:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            method, path, body = routes[(turn + index) % len(routes)]
            client.request(method, API + path, body() if body else None, headers)
            answer = client.getresponse()
            answer.read()
            taken[f"{method} {path}"].append(time.monotonic() - due)
            answers[f"{method} {path} {answer.status}"] += 1

    threads = [threading.Thread(target=connection, args=(index,)) for index in range(CONNECTIONS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    failed = {name: count for name, count in answers.items() if name[-3:] not in ("200", "201")}
    return {
        "requests_per_second": RATE,
        "connections": CONNECTIONS,
        "seconds": seconds,
        "milliseconds": {name: figures(each) for name, each in sorted(taken.items())},
        "errors": failed,
    }


def bodies(address: str, key: str, seconds: float) -> dict[str, Any]:
    """``/healthz`` while it is quiet, and while four clients send bodies of every kind."""
    made = every_body()
    idle = health(address, 10.0)
    over = multiprocessing.Event()
    answers: Any = multiprocessing.SimpleQueue()
    senders = [
        multiprocessing.Process(target=send, args=(address, key, index, made, over, answers))
        for index in range(SENDERS)
    ]
    for each in senders:
        each.start()
    time.sleep(1.0)
    busy = health(address, seconds)
    over.set()
    counted: Counter[str] = Counter()
    for _ in senders:
        counted.update(answers.get())
    for each in senders:
        each.join(timeout=120)
    return {
        "clients": SENDERS,
        "largest_bytes": max(map(len, (body for body, _ in made.values()))),
        "healthz_idle_milliseconds": idle,
        "healthz_milliseconds": busy,
        "slowest_beyond_idle_milliseconds": round(busy["max"] - idle["max"], 1),
        "answers": dict(sorted(counted.items())),
    }


def every_body() -> dict[str, tuple[bytes, str]]:
    """Bodies by name, each with its media type."""

    def names(count: int) -> bytes:
        return b"{" + b",".join(b'"n%d":1' % number for number in range(count)) + b"}"

    def lines(count: int) -> bytes:
        rows = (
            {"situation": f"s {n} {random.random()}", "solution": "x" * 600} for n in range(count)
        )
        return "\n".join(map(json.dumps, rows)).encode()

    message = {"role": "user", "content": "x" * 150}
    kind = "application/json"
    part = b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nv\r\n'
    file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return {
        "16 KB of zeros": (b'{"tags":[' + b"0," * 8000 + b"0]}", kind),
        "16 KB of names": (names(1500), kind),
        "16 KB of text": (
            json.dumps({"situation": "x" * 8000, "solution": "y" * 8000}).encode(),
            kind,
        ),
        "16 KB of depth": (b'{"a":' * 2600 + b"1" + b"}" * 2600, kind),
        "zeros": (b'{"tags":[' + b"0," * (7 * MIB) + b"0]}", kind),
        "names": (names(800_000), kind),
        "names twice": (names(40_000)[:-1] + b',"n1":1,"n1":2}', kind),
        "a text": (json.dumps({"situation": "x" * (15 * MIB), "solution": "y"}).encode(), kind),
        "texts": (b'{"tags":[' + b'"a",' * (3 * MIB) + b'"a"]}', kind),
        "escapes": (b'{"situation":"' + b"\\u0041" * (2 * MIB) + b'","solution":"a"}', kind),
        "depth": (b"[" * (15 * MIB), kind),
        "blanks": (b" " * (15 * MIB) + b"{}", kind),
        "messages": (json.dumps({"outcome": "ok", "messages": [message] * 9000}).encode(), kind),
        "20,000 lessons": (lines(20_000), NDJSON),
        "bad lines": (b"[]\n" * (5 * MIB), NDJSON),
        "a file": (file + b'{"a":1}\n' * MIB + b"\r\n--x--\r\n", FORM),
        "form fields": (b"".join(part % number for number in range(200_000)) + b"--x--\r\n", FORM),
    }


def send(
    address: str, key: str, seed: int, made: dict[str, tuple[bytes, str]], over: Any, answers: Any
) -> None:
    """Send one body after the other until `over`; then tell how often each was answered by what."""
    chance = random.Random(seed)
    paths = ["lessons", "runs", "tasks", "train", "datasets/upload", "keys", "schedules"]
    counted: Counter[str] = Counter()
    while not over.is_set():
        name = chance.choice(list(made))
        body, media_type = made[name]
        path = f"{API}/{chance.choice(paths)}" if chance.random() < 0.9 else "/v1/chat/completions"
        headers = {"Authorization": f"Bearer {key}", "Content-Type": media_type}
        client = http.client.HTTPConnection(address, timeout=120)
        try:
            if chance.random() < 0.3:
                pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
                client.request("POST", path, pieces, headers, encode_chunked=True)
            else:
                client.request("POST", path, body, headers)
            answer = client.getresponse()
            answer.read()
            counted[f"{answer.status}"] += 1
        except OSError as error:
            counted[type(error).__name__] += 1
        finally:
            client.close()
    answers.put(counted)


def health(address: str, seconds: float) -> dict[str, float]:
    """How long ``/healthz`` takes, asked a hundred times a second."""
    client = http.client.HTTPConnection(address, timeout=120)
    taken = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        client.request("GET", "/healthz")
        client.getresponse().read()
        taken.append(time.monotonic() - began)
        time.sleep(0.01)
    return figures(taken)


def figures(seconds: list[float]) -> dict[str, float]:
    """Count, median, 99th percentile and slowest, in milliseconds."""
    ordered = sorted(each * 1e3 for each in seconds)
    return {
        "count": len(ordered),
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[int(len(ordered) * 0.99)], 1),
        "max": round(ordered[-1], 1),
    }


if __name__ == "__main__":
    main()
