"""Ask an API again and again, and tell how long it took: python asking.py URL MODEL

25 times a second ``GET /jobs`` and ``GET /status`` each, and, with a model, five times a chat, of
which the first token counts. ASKING_HEADERS holds headers as JSON; a line on its input ends it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
from typing import Any

import httpx

API = "/api/v1/academy"


def main() -> None:
    url, model = sys.argv[1], sys.argv[2]
    headers = json.loads(os.environ["ASKING_HEADERS"])
    over = threading.Event()
    taken: dict[str, list[float]] = {}
    failed: list[str] = []

    def ask(name: str, interval: float) -> None:
        times = taken[name] = []
        with httpx.Client(base_url=url, headers=headers, timeout=30) as http:
            due = time.monotonic()
            while not over.is_set():
                began = time.monotonic()
                try:
                    chat(http, model) if name == "chat" else get(http, name)
                    times.append(time.monotonic() - began)
                except (httpx.HTTPError, AssertionError) as error:
                    failed.append(f"{name}: {type(error).__name__} {error}"[:200])
                due += interval
                over.wait(max(0.0, due - time.monotonic()))

    plan = [("/jobs", 0.04), ("/status", 0.04)] + ([("chat", 0.2)] if model else [])
    threads = [threading.Thread(target=ask, args=each) for each in plan]
    for each in threads:
        each.start()
    sys.stdin.readline()
    over.set()
    for each in threads:
        each.join()
    print(json.dumps({**{name: figures(times) for name, times in taken.items()}, "failed": failed}))


def get(http: httpx.Client, path: str) -> None:
    assert http.get(API + path).status_code == 200


def chat(http: httpx.Client, model: str) -> None:
    """Until the first piece of the answer."""
    body = {"model": model, "stream": True, "max_tokens": 2, "messages": [MESSAGE]}
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200, answer.status_code
        for line in answer.iter_lines():
            if line.startswith("data: {") and '"content"' in line:
                return


MESSAGE = {"role": "user", "content": "Hello"}


def figures(seconds: list[float]) -> dict[str, Any]:
    ordered = sorted(each * 1e3 for each in seconds)
    if not ordered:
        return {"count": 0}
    return {
        "count": len(ordered),
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[int(len(ordered) * 0.99)], 1),
        "max": round(ordered[-1], 1),
    }


if __name__ == "__main__":
    main()
