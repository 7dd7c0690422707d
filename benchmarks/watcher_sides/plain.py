"""The baseline, Flask, flask-sock and Redis pub/sub alone: python plain.py PORT REDIS_URL

One subscription for the process; each watcher is a greenlet that sends every quarter of a second
what came since, as a frame of JSON that all who are at the same place share. It keeps everything in
memory, numbers nothing anew, and a watcher that comes back has missed what was said meanwhile.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import redis  # noqa: E402
from flask import Flask  # noqa: E402
from flask_sock import Sock  # noqa: E402
from gunicorn.app.base import BaseApplication  # noqa: E402

TICK_SECONDS = 0.25
CHANNEL = "plain"

app = Flask(__name__)
sock = Sock(app)
lines: list[bytes] = []
frames: dict[tuple[int, int], str] = {}


def listen(url: str) -> None:
    subscription = redis.Redis.from_url(url).pubsub(ignore_subscribe_messages=True)
    subscription.subscribe(CHANNEL)
    for message in subscription.listen():
        lines.append(message["data"])


@sock.route("/watch")
def watch(ws: Any) -> None:
    at = 0
    while True:
        end = len(lines)
        if end > at:
            frame = frames.get((at, end))
            if frame is None:
                frame = frames[at, end] = "[" + b",".join(lines[at:end]).decode() + "]"
                if len(frames) > 64:
                    frames.pop(next(iter(frames)))
            ws.send(frame)
            at = end
        time.sleep(TICK_SECONDS)


@app.get("/healthz")
def healthz() -> str:
    return "ok"


class Server(BaseApplication):
    def load_config(self) -> None:
        self.cfg.set("bind", f"127.0.0.1:{sys.argv[1]}")
        self.cfg.set("worker_class", "gevent")
        self.cfg.set("worker_connections", 10_000)
        self.cfg.set("post_worker_init", lambda worker: gevent.spawn(listen, sys.argv[2]))
        self.cfg.set("control_socket_disable", True)

    def load(self) -> Flask:
        return app


if __name__ == "__main__":
    Server().run()
