"""`academy up`: the whole of Academy on one machine, started, watched, and stopped as one.

Everything is started from the thread that calls `run`, because the kernel ends a child when the
thread that started it ends: even a SIGKILL leaves nothing behind.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import FrameType

from academy.embedded.children import Change, Child, Plan
from academy.embedded.plans import (
    app_plans,
    environment,
    has_base_model,
    local_address,
    log_folder,
    module,
    runtime_plan,
)
from academy.embedded.postgres import EmbeddedPostgres
from academy.embedded.program import PortTaken, choose_port, free_port, port_is_free
from academy.embedded.runfile import Run, home_lock, remove_run, running, started_at, write_run
from academy.embedded.valkey import EmbeddedValkey
from academy.errors import AcademyError
from academy.settings import Settings

logger = logging.getLogger(__name__)

_READY_SECONDS = 180.0
_TICK_SECONDS = 0.1
_LOG_CHECK_SECONDS = 10.0

Server = EmbeddedPostgres | EmbeddedValkey


class AlreadyRunning(AcademyError):
    """Academy already runs in {home}: process {pid}, {state}, {url}."""

    code = "already_running"
    next_step = "Use it, stop it with `academy down`, or choose another home (ACADEMY_HOME)."


class NotReady(AcademyError):
    """{names} did not get ready within {seconds:g} s; the logs lie in {logs}."""

    code = "not_ready"
    next_step = "Read the log of that process; `academy doctor` checks what it needs."


class Interrupted(AcademyError):
    """The start was interrupted; everything that had been started was stopped."""

    code = "interrupted"
    next_step = "Start again when you are ready."


@dataclass(frozen=True)
class Ready:
    """What `academy up` announces."""

    url: str
    home: str
    pid: int
    ports: dict[str, int]
    skipped: list[str] = field(default_factory=list)  # why something does not run, in words


class Stack:
    """One home's servers and processes. `run` is its whole life."""

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        *,
        with_runtime: bool = True,
        gpu_slots: int | None = None,
    ) -> None:
        self.settings = settings
        self.say = say
        self.with_runtime = with_runtime
        self.gpu_slots = gpu_slots
        self._servers: dict[str, Server] = {}
        self._children: list[Child] = []
        self._ports: dict[str, int] = {}
        self._skipped: list[str] = []
        self._stops_asked = 0
        self._lock = home_lock(settings.home)

    def run(self, on_ready: Callable[[Ready], None]) -> None:
        """Start everything, call `on_ready`, watch until SIGINT or SIGTERM, stop everything.

        Raises `AlreadyRunning`, `Interrupted`, `NotReady`, or what a server's start raises.
        """
        self.settings.home.mkdir(parents=True, exist_ok=True)
        if not self._lock.acquire():
            raise self._already_running()
        previous = {each: signal.signal(each, self._on_signal) for each in _STOP_SIGNALS}
        try:
            self._start()
            on_ready(
                Ready(self._url, str(self.settings.home), os.getpid(), self._ports, self._skipped)
            )
            self._watch()
        finally:
            self._stop()
            for number, handler in previous.items():
                signal.signal(number, handler)
            remove_run(self.settings.home)
            self._lock.release()

    def _start(self) -> None:
        host = self.settings.host
        port = self.settings.port or free_port(host)
        if not port_is_free(port, host):
            raise PortTaken(name="The API", host=host, port=port)
        self.settings = replace(self.settings, port=port)
        self._note("starting")
        self._start_servers()
        self._migrate()
        self._plan_runtime()
        plans = app_plans(self.settings, gpu_slots=self.gpu_slots)
        if "runtime" in self._ports:
            plans.append(runtime_plan(self.settings, self._ports["runtime"]))
        for plan in plans:
            self._check_interrupt()
            child = Child(plan)
            self._children.append(child)
            child.start()
        self._note("starting")
        self._await_ready()
        self._note("ready")

    def _start_servers(self) -> None:
        home = self.settings.home
        if not self.settings.database_url:
            url = self._start_server(
                "postgres", EmbeddedPostgres(home / "postgres", interrupted=self._is_asked_to_stop)
            )
            self.settings = replace(self.settings, database_url=url)
        if not self.settings.redis_url:
            url = self._start_server(
                "valkey", EmbeddedValkey(home / "valkey", interrupted=self._is_asked_to_stop)
            )
            self.settings = replace(self.settings, redis_url=url)

    def _start_server(self, name: str, server: Server) -> str:
        self._check_interrupt()
        self._servers[name] = server
        began = time.monotonic()
        try:
            url = server.start()
        except AcademyError:
            self._check_interrupt()
            raise
        self._ports[name] = server.port
        self.say(f"{name} answers on 127.0.0.1:{server.port} ({time.monotonic() - began:.1f} s)")
        return url

    def _migrate(self) -> None:
        """In a process of its own, so that it can be interrupted and its memory comes back."""
        plan = Plan(
            name="migrate",
            command=module("academy.cli", "migrate"),
            env=environment(self.settings),
            log=log_folder(self.settings) / "migrate.log",
        )
        child = Child(plan)
        self._children.append(child)
        child.start()
        deadline = time.monotonic() + _READY_SECONDS
        while not child.has_ended():
            self._check_interrupt()
            if time.monotonic() > deadline:
                raise child.failure(f"was not done within {_READY_SECONDS:g} s")
            time.sleep(_TICK_SECONDS)
        self._children.remove(child)
        if child.process is not None and child.process.returncode != 0:
            raise child.failure(f"ended with status {child.process.returncode}")
        self.say("the database schema is in order")

    def _plan_runtime(self) -> None:
        """Decide whether the embedded model server runs, and tell everybody its address."""
        if self.settings.runtime_url != Settings.runtime_url:
            self._skipped.append(f"runtime: using yours at {self.settings.runtime_url}")
        elif not self.with_runtime:
            self._skipped.append("runtime: not wanted (--no-runtime)")
        elif missing := has_base_model(self.settings):
            self._skipped.append(f"runtime: {missing}")
        else:
            folder = self.settings.home / "runtime"
            folder.mkdir(exist_ok=True)
            port = choose_port(folder, None, "The runtime")
            (folder / "port").write_text(f"{port}\n")
            self._ports["runtime"] = port
            self.settings = replace(self.settings, runtime_url=f"http://127.0.0.1:{port}")
        for line in self._skipped:
            self.say(line)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        waiting = list(self._children)
        while waiting:
            self._check_interrupt()
            for child in self._children:
                if child.tend() is Change.GIVEN_UP:
                    raise child.failure("keeps dying")
            for child in [each for each in waiting if each.is_ready()]:
                waiting.remove(child)
                self.say(f"{child.plan.name} is ready")
            if waiting and time.monotonic() > deadline:
                names = ", ".join(each.plan.name for each in waiting)
                raise NotReady(names=names, seconds=_READY_SECONDS, logs=log_folder(self.settings))
            time.sleep(_TICK_SECONDS)

    def _watch(self) -> None:
        next_log_check = 0.0
        while not self._stops_asked:
            for name, server in self._servers.items():
                self._tend_server(name, server)
            changes = {each.plan.name: each.tend() for each in self._children}
            for child in self._children:
                if changes[child.plan.name] is Change.GIVEN_UP:
                    self._give_up(child)
            if Change.RESTARTED in changes.values():
                self._note("ready")
            if time.monotonic() > next_log_check:
                next_log_check = time.monotonic() + _LOG_CHECK_SECONDS
                for child in self._children:
                    child.limit_log()
            time.sleep(_TICK_SECONDS)

    def _tend_server(self, name: str, server: Server) -> None:
        """Bring a server that died back on the same port: every process knows that address."""
        if server.process is None or server.process.poll() is None:
            return
        status = server.process.returncode
        logger.error("A server died.", extra={"server": name, "status": status})
        self.say(f"{name} died (status {status}) and is started again")
        server.stop()
        server.asked_port = server.port
        server.start()
        self._note("ready")

    def _give_up(self, child: Child) -> None:
        failure = child.failure("keeps dying and is given up")
        if child.plan.essential:
            raise failure
        self.say(f"{failure} {failure.next_step}")

    def _stop(self) -> None:
        """Everything in reverse order, each with its grace; a second signal cuts the graces."""
        if not self._children and not self._servers:
            return
        patience = 1 if self._stops_asked else 0  # signals that came before do not count
        self._note("stopping")
        self.say("stopping …")
        began = time.monotonic()
        for child in reversed(self._children):
            child.ask_to_stop()
        for child in reversed(self._children):
            while (
                not child.has_ended()
                and time.monotonic() < began + child.plan.grace_seconds
                and self._stops_asked <= patience
            ):
                time.sleep(_TICK_SECONDS / 2)
            child.kill()
        self._children.clear()
        for server in reversed(self._servers.values()):
            server.stop()
        self._servers.clear()
        self.say(f"stopped after {time.monotonic() - began:.1f} s")

    def _note(self, state: str) -> None:
        children = {
            each.plan.name: each.process.pid for each in self._children if each.process is not None
        }
        for name, server in self._servers.items():
            if server.process is not None:
                children[name] = server.process.pid
        run = Run(
            pid=os.getpid(),
            started=started_at(os.getpid()) or 0.0,
            state=state,
            url=self._url,
            host=self.settings.host,
            port=self.settings.port,
            ports=self._ports,
            children=children,
        )
        write_run(self.settings.home, run)

    @property
    def _url(self) -> str:
        return f"http://{local_address(self.settings.host, self.settings.port)}"

    def _already_running(self) -> AlreadyRunning:
        run = running(self.settings.home)
        if run is None:
            return AlreadyRunning(
                home=self.settings.home, pid="unknown", state="starting", url="no address yet"
            )
        return AlreadyRunning(home=self.settings.home, pid=run.pid, state=run.state, url=run.url)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stops_asked += 1

    def _is_asked_to_stop(self) -> bool:
        return self._stops_asked > 0

    def _check_interrupt(self) -> None:
        if self._stops_asked:
            raise Interrupted


_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
