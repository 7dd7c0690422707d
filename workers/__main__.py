"""``python -m workers QUEUE``: one worker process for one queue.

It runs Celery's solo pool: the job runs in the main thread of this process, so SIGTERM reaches it
and SIGKILL takes everything with it. More slots are more processes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading

from academy import logs, queues
from academy.host.quick_imports import quick_imports
from academy.settings import Settings
from workers.starting import once, refused_clearly

_AGAIN_SECONDS = 0.2


def main() -> None:
    """Work on one queue until SIGTERM; a held job then goes back with its checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("queue", choices=queues.QUEUES)
    queue = parser.parse_args().queue
    logs.setup(f"worker-{queue}")
    with refused_clearly():
        settings = Settings.from_env()
        logs.setup(f"worker-{queue}", settings.log_level)
    if not settings.host.enable_gpu:
        # Hides them from this process and from every trainer that it starts.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""

    with quick_imports():
        from celery import signals

        from academy.ops.ready import require_ready
        from academy.training.gang import own_address
        from academy.training.launchers.orphans import OrphanSweep
        from workers import tasks
        from workers.app import app
        from workers.hear_once import HearOnce
        from workers.process import WorkerProcess

    with refused_clearly():
        require_ready(settings)
        if queue == queues.GPU:
            own_address(settings)  # a wrong one is refused now, and not in a training at night
        # SIGTERM is the one way out, whoever asks for the drain.
        process = WorkerProcess(
            settings,
            queue,
            end=lambda: os.kill(os.getpid(), signal.SIGTERM),
            take_part=tasks.OF_QUEUE[queue],
        )
    tasks.process = process

    def drain(**_: object) -> None:
        process.draining.set()

    signals.worker_shutting_down.connect(drain)
    # Whoever reads of this worker may drain it before Celery has a handler of its own.
    early = threading.Event()
    signal.signal(signal.SIGTERM, once(lambda *_: early.set()))
    threading.Thread(
        target=signal_again, args=(early, process.draining), name="early", daemon=True
    ).start()
    app.steps["worker"].add(HearOnce)
    signals.worker_ready.connect(process.consumer.attach)
    trains = queue == queues.GPU
    sweep = OrphanSweep(process.sessions, settings) if trains else contextlib.nullcontext()
    try:
        process.start()
        with sweep:
            app.worker_main(
                [
                    "--quiet",  # its banner is no JSON
                    "worker",
                    f"--queues={queue}",
                    f"--hostname={process.id}@%h",
                    "--pool=solo",
                    "--without-gossip",
                    "--without-mingle",
                    "--without-heartbeat",
                    f"--loglevel={settings.log_level}",
                ]
            )
    finally:
        process.stop()
    # Celery tells nobody that it broke off. Status 0 would mean a drain, after which a supervisor
    # leaves the worker ended.
    sys.exit(0 if process.draining.is_set() else 1)


def signal_again(asked: threading.Event, heard: threading.Event) -> None:
    """Once `asked`, send this process SIGTERM until it is `heard`.

    A handler that raised would do for most early signals, not for all: an exception that strikes in
    a callback of Python's own, such as a weak reference's, is printed and forgotten.
    """
    asked.wait()
    while not heard.wait(_AGAIN_SECONDS):
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    # Celery looks for celeryconfig.py beside this package.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    main()
