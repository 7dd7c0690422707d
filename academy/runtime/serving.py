"""One gunicorn worker around an engine: many threads for clients, one for the model.

The supervising process never loads torch, because CUDA does not survive a fork. It ends with its
own parent where `academy.host.processes.spawn` started it, and its worker ends with it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from academy.host.parent import die_with_parent
from academy.runtime.inference_engine import InferenceEngine, State
from academy.runtime.scheduler import Limits
from academy.runtime.server import create_server

log = logging.getLogger(__name__)

#: Threads beside those of the requests that run and wait: for probes, loads and refusals.
_SPARE_THREADS = 32
#: Time to write the last answers after the drain has cut off what still ran.
_FAREWELL_SECONDS = 5


@dataclass(frozen=True)
class Serving:
    """What a server is started with."""

    model: Path
    name: str
    host: str
    port: int
    device: str = "auto"
    dtype: str = "auto"
    adapter_roots: Sequence[Path] = ()
    drain_seconds: float = 30.0
    limits: Limits = field(default_factory=Limits)


def serve(serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT; ends the process.

    SIGTERM refuses new connections, lets the running requests finish for `drain_seconds` and then
    ends them with an error that says so.
    """
    # Threads of OpenMP that spin for each other while the cores are busy with other processes hold
    # a first token up for half a second; asleep they cost nothing. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    ModelServer(serving).run()


class ModelServer(BaseApplication):  # type: ignore[misc]  # gunicorn publishes no types
    """gunicorn's application: its settings, and the engine in the worker."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.engine: InferenceEngine | None = None
        super().__init__()

    def load_config(self) -> None:
        serving, limits = self.serving, self.serving.limits
        settings = {
            "bind": f"{serving.host}:{serving.port}",
            "proc_name": "academy-runtime",
            "workers": 1,
            "worker_class": DrainingWorker,
            "threads": limits.running + limits.queued + _SPARE_THREADS,
            "timeout": 300,  # of a worker that hangs; a long answer is not one
            "graceful_timeout": int(serving.drain_seconds) + _FAREWELL_SECONDS,
            "keepalive": 75,  # longer than clients keep a connection, so that they close it
            "control_socket_disable": True,
            "logger_class": ForwardingLogger,
            "post_fork": _die_with_arbiter,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Runs in the worker, after the fork: begin to load the model and answer meanwhile."""
        serving = self.serving
        self.engine = InferenceEngine(
            serving.model,
            serving.name,
            device=serving.device,
            dtype=serving.dtype,
            limits=serving.limits,
            on_failure=self._failed,
        )
        app = create_server(self.engine, serving.adapter_roots)
        self.engine.start()
        return app

    def _failed(self, why: str) -> None:
        """A model that never loaded will not load the next time; one that broke may."""
        sys.stderr.flush()
        if self.engine is not None and not self.engine.was_ready:
            os._exit(Arbiter.WORKER_BOOT_ERROR)  # gunicorn then stops, with this exit status
        os.kill(os.getpid(), signal.SIGTERM)  # gunicorn then starts a fresh worker


class DrainingWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which tells the engine when it is asked to stop."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        engine = self.app.engine
        if engine is not None:
            engine.drain(self.app.serving.drain_seconds)
        super().handle_exit(sig, frame)

    def run(self) -> None:
        super().run()
        engine = self.app.engine
        if engine is not None and not engine.close():
            # Python would wait for ever for a thread that is stuck inside the model.
            log.error("The model's thread did not stop in time.")
            os._exit(1 if engine.state is State.FAILED else 0)


class ForwardingLogger(Logger):  # type: ignore[misc]
    """Sends gunicorn's own messages to the process's one log."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.setLevel(logging.NOTSET)  # the process's level holds, not gunicorn's own
        self.error_log.propagate = True


def _die_with_arbiter(arbiter: Any, _worker: Any) -> None:
    die_with_parent(arbiter.pid)
