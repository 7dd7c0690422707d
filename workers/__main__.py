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

from academy import logs, queues
from academy.settings import Settings
from workers.starting import refused_clearly


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

    from celery import signals

    from academy.artifacts.store import require_store
    from academy.events.stream import require_address
    from academy.store.schema import require_in_order
    from academy.training.gang import own_address
    from academy.training.launchers.orphans import OrphanSweep
    from workers import tasks
    from workers.app import app
    from workers.process import WorkerProcess

    with refused_clearly():
        settings.require_enabled()
        require_address(settings)
        require_store(settings)
        require_in_order(settings.postgres.url)
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
    signals.worker_ready.connect(process.consumer.attach)
    trains = queue == queues.GPU
    sweep = OrphanSweep(process.sessions, settings) if trains else contextlib.nullcontext()
    # Whoever reads of this worker may drain it before Celery has a handler of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
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


if __name__ == "__main__":
    # Celery looks for celeryconfig.py beside this package.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    main()
