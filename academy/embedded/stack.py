"""`academy up`: the whole of Academy on one machine, started, watched, and stopped as one.

Everything is started from the thread that calls `run`, because the kernel ends a child when the
thread that started it ends: even a SIGKILL leaves nothing behind.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from academy.artifacts.store import require_store
from academy.basemodels import folders
from academy.client import Client
from academy.embedded.children import Program
from academy.embedded.home import key_of_home
from academy.embedded.postgres import EmbeddedPostgres
from academy.embedded.process_set import ProcessSet, StopSignals
from academy.embedded.program import (
    PortTaken,
    choose_port,
    free_port,
    port_is_free,
    require_own,
)
from academy.embedded.programs import (
    app_programs,
    environment,
    local_address,
    log_folder,
    module,
    runtime_program,
)
from academy.embedded.runfile import (
    Restart,
    Run,
    home_lock,
    remove_run,
    running,
    started_at,
    write_run,
)
from academy.embedded.valkey import EmbeddedValkey
from academy.embedded.watchdog import Watchdog, Watched
from academy.errors import AcademyError, BaseModelUnavailable
from academy.settings import Settings

logger = logging.getLogger(__name__)

_READY_SECONDS = 180.0
#: The pause before a server is tried again that could not start.
_PAUSE_SECONDS = 5.0
#: So many restarts are kept, the latest ones.
_RESTARTS = 20

Server = EmbeddedPostgres | EmbeddedValkey


class AlreadyRunning(AcademyError):
    """Academy already runs in {home}: process {pid}, {state}, {url}."""

    code = "already_running"
    next_step = "Use it, stop it with `academy down`, or choose another home (ACADEMY_HOME)."


class NotReady(AcademyError):
    """{names} did not get ready within {seconds:g} s; the logs lie in {logs}."""

    code = "not_ready"
    next_step = "Read the log of that process; `academy doctor` checks what it needs."


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
        self._signals = StopSignals()
        self._processes = ProcessSet(say, self._signals)
        self._servers: dict[str, Server] = {}
        self._ports: dict[str, int] = {}
        self._skipped: list[str] = []
        self._watchdog = Watchdog()
        self._restarts: list[Restart] = []
        self._next_try = 0.0
        self._killed: set[str] = set()  # children that hung, until they are started again

    def run(self, on_ready: Callable[[Ready], None]) -> None:
        """Start everything, call `on_ready`, watch until a stop signal, stop everything.

        Raises `BadSetting` before anything is made, `AlreadyRunning`, `Interrupted`, `NotReady`, or
        what a server's start raises.
        """
        require_own(self.settings.api.host)
        require_store(self.settings)
        home = self.settings.home
        # What lies there was learnt from somebody's work, so a new home is for its owner alone.
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = home_lock(home)
        if not lock.acquire():
            raise self._already_running()
        with self._signals:
            try:
                self._start()
                on_ready(Ready(self._url, str(home), os.getpid(), dict(self._ports), self._skipped))
                with self._watchdog:
                    self._watch_all()
                    self._processes.watch(self._look_around)
            finally:
                self._stop()
                remove_run(home)
                lock.release()

    def _start(self) -> None:
        host = self.settings.api.host
        port = self.settings.api.port or free_port(host)
        if not port_is_free(port, host):
            raise PortTaken(name="The API", host=host, port=port)
        self.settings = self.settings.changed(port=port)
        self._note("starting")
        self._start_servers()
        self._migrate()
        programs = self._runtime_programs()
        self._processes.start([*app_programs(self.settings, gpu_slots=self.gpu_slots), *programs])
        self._note("starting")
        late = self._processes.await_ready(_READY_SECONDS) or self._await_workers()
        if late:
            logs = log_folder(self.settings)
            raise NotReady(names=", ".join(late), seconds=_READY_SECONDS, logs=logs)
        self._note("ready")

    def _await_workers(self) -> list[str]:
        """Wait until the workers have registered; the names of those that have not in time.

        A worker that runs still loads its libraries for some seconds before it takes work.
        """
        missing: list[str] = []

        def all_registered() -> bool:
            seen = {each["pid"] for each in client.get("/workers")["workers"]}
            missing[:] = [
                name
                for name, pid in self._processes.pids().items()
                if name.startswith("worker-") and pid not in seen
            ]
            return not missing

        with Client(self._url, key_of_home(self.settings.home)) as client:
            self._processes.await_true(all_registered, _READY_SECONDS)
        return missing

    def _start_servers(self) -> None:
        home, asked = self.settings.home, lambda: bool(self._signals)
        if not self.settings.postgres.url:
            postgres = EmbeddedPostgres(home / "postgres", interrupted=asked)
            url = self._start_server("postgres", postgres)
            self.settings = self.settings.changed(database_url=url)
        if not self.settings.redis.url:
            valkey = EmbeddedValkey(home / "valkey", interrupted=asked)
            url = self._start_server("valkey", valkey)
            self.settings = self.settings.changed(redis_url=url)

    def _start_server(self, name: str, server: Server) -> str:
        self._signals.check()
        self._servers[name] = server
        began = time.monotonic()
        try:
            url = server.start()
        except AcademyError:
            self._signals.check()  # an interrupted start is not a fault of the server
            raise
        self._ports[name] = server.port
        self._processes.other_logs.append(server.log)
        self._note("starting")
        self.say(f"{name} answers on 127.0.0.1:{server.port} ({time.monotonic() - began:.1f} s)")
        return url

    def _migrate(self) -> None:
        """In a process of its own, so that it can be interrupted and its memory comes back."""
        program = Program(
            name="migrate",
            command=module("academy.cli", "migrate"),
            env=environment(self.settings),
            log=log_folder(self.settings) / "migrate.log",
        )
        self._processes.finish(program, _READY_SECONDS)
        self.say("the database schema is in order")

    def _runtime_programs(self) -> list[Program]:
        """The embedded model server, if it is to run; its address goes into the settings."""
        if not self.settings.serving.is_auto:
            return self._skip(f"runtime: using yours at {', '.join(self.settings.serving.urls)}")
        if not self.with_runtime:
            return self._skip("runtime: not wanted (--no-runtime)")
        try:
            model = folders.find(self.settings.models.base, self.settings.model_folders)
        except BaseModelUnavailable as error:
            return self._skip(f"runtime: skipped. {error} Run `make setup`, or set ACADEMY_MODELS.")
        folder = self.settings.home / "runtime"
        folder.mkdir(exist_ok=True)
        port = choose_port(folder, None, "The runtime")
        (folder / "port").write_text(f"{port}\n")
        self._ports["runtime"] = port
        self.settings = self.settings.changed(runtime_url=(f"http://127.0.0.1:{port}",))
        return [runtime_program(self.settings, model, port)]

    def _skip(self, line: str) -> list[Program]:
        self._skipped.append(line)
        self.say(line)
        return []

    def _watch_all(self) -> None:
        for child in self._processes.children:
            self._watchdog.watch(child.watched)
        for name, server in self._servers.items():
            self._watchdog.watch(self._watched(name, server))

    def _watched(self, name: str, server: Server) -> Watched:
        return Watched(
            name=name,
            pid=lambda: server.process.pid if server.process is not None else None,
            answers=server.responds,
            patience_seconds=self.settings.host.hang_seconds,
        )

    def _look_around(self, restarted: Sequence[str]) -> None:
        """Start again what hangs, and bring back a server on the port that every process knows."""
        for name in restarted:
            if name in self._killed:
                self._killed.remove(name)
                self._note("ready")
            else:
                self._tell(name, "died")
        for each in self._watchdog.hung():
            server = self._servers.get(each.name)
            if server is None:
                if self._processes.end_hung(each.name, each.pid):
                    self._killed.add(each.name)
                    self._tell(each.name, each.why)
            elif server.process is not None and server.process.pid == each.pid:
                self._tell(each.name, each.why)
                server.kill()
                self._start_again(server)
        for name, server in self._servers.items():
            if server.process is not None and server.process.poll() is not None:
                self._tell(name, f"died (status {server.process.returncode})")
                self._start_again(server)
            elif server.process is None and time.monotonic() > self._next_try:
                self._start_again(server)

    def _start_again(self, server: Server) -> None:
        """Start a server on its port. One that cannot start, as on a full disk, is tried later."""
        server.asked_port = server.port
        server.stop()
        try:
            server.start()
        except (AcademyError, OSError) as error:
            if self._signals:
                return  # it was interrupted, and everything stops
            self.say(f"{error}\nIt is tried again in {_PAUSE_SECONDS:g} s.")
            self._next_try = time.monotonic() + _PAUSE_SECONDS
        self._note("ready")

    def _tell(self, name: str, why: str) -> None:
        """Say that a process is started again, and why; ``/status`` tells it too."""
        logger.error("A process is started again.", extra={"child": name, "why": why})
        self.say(f"{name} {why} and is started again")
        self._restarts = [*self._restarts, Restart(name, why, time.time())][-_RESTARTS:]
        self._note("ready")

    def _stop(self) -> None:
        """The processes in reverse order, then the servers that they need to wind up."""
        if not self._processes.children and not self._servers:
            return
        self._note("stopping")
        self.say("stopping …")
        began = time.monotonic()
        self._processes.stop()
        for server in reversed(self._servers.values()):
            server.stop()
        self._servers.clear()
        self.say(f"stopped after {time.monotonic() - began:.1f} s")

    def _note(self, state: str) -> None:
        pids = self._processes.pids()
        for name, server in self._servers.items():
            if server.process is not None:
                pids[name] = server.process.pid
        run = Run(
            pid=os.getpid(),
            started=started_at(os.getpid()) or 0.0,
            state=state,
            url=self._url,
            host=self.settings.api.host,
            port=self.settings.api.port,
            ports=self._ports,
            children=pids,
            restarts=self._restarts,
        )
        try:
            write_run(self.settings.home, run)
        except OSError as error:  # such as a full disk, which must not stop what still runs
            if state == "starting":
                raise
            logger.error("The run file is not up to date.", extra={"why": str(error)})

    @property
    def _url(self) -> str:
        return f"http://{local_address(self.settings.api.host, self.settings.api.port)}"

    def _already_running(self) -> AlreadyRunning:
        home, run = self.settings.home, running(self.settings.home)
        if run is None:  # it holds the lock and has not written its file yet
            return AlreadyRunning(home=home, pid="unknown", state="starting", url="no address yet")
        return AlreadyRunning(home=home, pid=run.pid, state=run.state, url=run.url)
