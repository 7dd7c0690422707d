"""A receiver that takes half of what it is sent, by chance, and writes down all of it.

    python receiver.py PORT FILE

Each line of the file is a request: the event's cursor, its subject, the status, the moment.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_SEED = 7
#: Of one event in a row. Of thousands some would fail fifteen times, and wait for minutes.
_MOST_REFUSALS = 8


def main() -> None:
    port, file = int(sys.argv[1]), Path(sys.argv[2])
    chance, lock = random.Random(_SEED), threading.Lock()
    refused: Counter[str] = Counter()

    with file.open("w", buffering=1) as written:

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                # One at a time from here on: what is written first was answered first.
                with lock:
                    status = chance.choice((204, 500))
                    refused[body["id"]] += status == 500
                    if refused[body["id"]] > _MOST_REFUSALS:
                        status = 204
                    seen = [body["cursor"], body["data"]["id"], status, time.time()]
                    written.write(json.dumps(seen) + "\n")
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing of each request."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        Server(("127.0.0.1", port), Receiver).serve_forever()


if __name__ == "__main__":
    main()
