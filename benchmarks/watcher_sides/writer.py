"""An attempt that says lines until it is told to end: python writer.py JOB ATTEMPT LINES RATE

As a worker does it: the events are numbered here and sent by its thread. Settings are in the
environment. After the last line it says that the job is finished.
"""

from __future__ import annotations

import sys
import time

from academy.events.sender import EventSender
from academy.settings import Settings
from academy.store.engine import open_sessions

TEXT = "step {0}: loss 1.2345, learning rate 0.0002, 812 tokens a second, memory 1.2 GB"


def main() -> None:
    job_id, attempt, lines, rate = (
        sys.argv[1],
        int(sys.argv[2]),
        int(sys.argv[3]),
        float(sys.argv[4]),
    )
    settings = Settings.from_env()
    with (
        open_sessions(settings, pool_size=2) as sessions,
        EventSender(settings, sessions) as sender,
        sender.open(job_id, attempt) as events,
    ):
        events.emit("status", status="preparing", attempt=attempt)
        begin = time.monotonic()
        for number in range(lines):
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
            events.emit("log", message=f"{time.time():.6f} {TEXT.format(number)}")
        events.emit("status", status="finished")


if __name__ == "__main__":
    main()
