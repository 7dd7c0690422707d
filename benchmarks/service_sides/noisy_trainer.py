"""A program in the trainer's place that computes, and writes log lines as fast as it is told.

``python noisy_trainer.py SPEC --out DIR --lifeline``. It keeps the trainer's contract (messages,
an adapter with its manifest). Rounds of three parts follow each other:

- calm: 100 lines a second, each with the moment at which it was written;
- quiet: matrix products and no line;
- loud: the same products while another thread writes 10,000 lines a second, as a library that logs
  too much would.

The products done in each part are in the result's summary.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# One thread: the service gets the other core, as it does where a GPU trains.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from academy.artifacts.manifest import write_manifest

ROUNDS = 3
SECONDS = 10.0
CALM_LINES, LOUD_LINES = 100, 10_000


def main() -> None:
    """Every round, then a result that can be registered."""
    out = Path(sys.argv[sys.argv.index("--out") + 1])
    say("stage", stage="training", message="The benchmark computes.")
    rounds = []
    for _ in range(ROUNDS):
        calm()
        quiet = products()
        stopping, written = threading.Event(), [0]
        writer = threading.Thread(target=write_lines, args=(stopping, written))
        writer.start()
        loud = products()
        stopping.set()
        writer.join()
        rounds.append({"quiet": quiet, "loud": loud, "lines": written[0]})
    adapter = out / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "academy.json").write_text(json.dumps({"base_model": {"digest": None}}))
    (adapter / "weights").write_text(str(time.time()))
    digest = write_manifest(adapter)
    say("result", adapter_path=str(adapter), digest=digest, summary={"rounds": rounds})


def calm() -> None:
    """Lines at an even pace, each with its moment."""
    for _ in range(int(SECONDS * CALM_LINES)):
        say("log", level="info", message=f"sent {time.time():.6f}")
        time.sleep(1 / CALM_LINES)


def products() -> int:
    """Matrix products that fit into the time of a part."""
    matrix = np.random.default_rng(1).random((256, 256), dtype=np.float32)
    done, until = 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        matrix @ matrix
        done += 1
    return done


def write_lines(stopping: threading.Event, written: list[int]) -> None:
    """Lines in blocks of a hundredth of a second, so that this program hardly works for them."""
    line = json.dumps({"type": "log", "timestamp": now(), "level": "info", "message": "x" * 60})
    block = (line + "\n").encode() * (LOUD_LINES // 100)
    due = time.monotonic()
    while not stopping.is_set():
        os.write(1, block)
        written[0] += LOUD_LINES // 100
        due += 0.01
        stopping.wait(max(0.0, due - time.monotonic()))


def say(type: str, **fields: Any) -> None:
    """One message on standard output."""
    sys.stdout.write(json.dumps({"type": type, "timestamp": now(), **fields}) + "\n")
    sys.stdout.flush()


def now() -> str:
    """The moment, as messages have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


if __name__ == "__main__":
    main()
