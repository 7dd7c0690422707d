"""What the embedded servers share: a port, a password, a process that dies with us, a log."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from academy.errors import AcademyError, BadSetting
from academy.host.filelock import is_held
from academy.host.processes import Account, spawn

LOOPBACK = "127.0.0.1"
_LARGEST_LOG_BYTES = 20 << 20
_LOWEST_PORT = 20_000
_USUAL_FIRST_OUTGOING_PORT = 32_768  # of Linux
_KEPT_PORT_SECONDS = 2.0


class ServerFailed(AcademyError):
    """{name} did not start: {why}. Its log {log} ends with:
    {tail}"""

    code = "embedded_server_failed"
    next_step = "Read the log; `academy doctor` checks disk and memory."


class PortTaken(AcademyError):
    """{name} cannot listen on {host}:{port}, because another program listens there."""

    code = "port_taken"
    next_step = "Stop that program, or name another port (0 takes a free one)."


class AccountRefused(AcademyError):
    """PostgreSQL does not run as root, and this system lets us become no other account: {why}."""

    code = "account_refused"
    next_step = (
        "Run Academy as an ordinary user, give the container the capabilities SETUID, SETGID and "
        "SETPCAP, or set ACADEMY_DATABASE_URL to a PostgreSQL of your own."
    )


class FolderInUse(AcademyError):
    """Another {name} already works on {folder}."""

    code = "already_running"
    next_step = "Stop the process that started it (`academy down`) before starting again."


class NoServer(AcademyError):
    """{variable} is not set, and no {name} of ours runs in {folder}."""

    code = "no_server"
    next_step = "Set that variable to a server of your own, or start `academy up` first."


class WheelMissing(AcademyError):
    """The Python package {package!r} with the {name} program is not installed here."""

    code = "wheel_missing"
    next_step = "Run `pip install -r requirements.txt`, or use a server of your own."


def wheel_folder(package: str, name: str) -> Path:
    """The folder of an installed package, found without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise WheelMissing(package=package, name=name)
    return Path(next(iter(found.submodule_search_locations)))


def require_own(host: str) -> None:
    """Raise `BadSetting` if no server of this machine could listen at that address."""
    try:
        with _socket_for(host) as probe:
            probe.bind((host, 0))
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        allowed = f"an address of this machine ({why})"
        raise BadSetting(name="ACADEMY_HOST", value=host, allowed=allowed) from None


def _socket_for(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now."""
    with _socket_for(host) as probe:
        # As servers do: a connection of an earlier run in TIME_WAIT does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = LOOPBACK) -> int:
    """A port that nobody listens on; another program may still take it before you do.

    It lies outside the range from which the system gives ports to outgoing connections, so that
    none of them takes it while its server is away for a restart.
    """
    below = _first_outgoing_port()
    for _ in range(100 if below > _LOWEST_PORT else 0):
        port = _LOWEST_PORT + secrets.randbelow(below - _LOWEST_PORT)
        if port_is_free(port, host):
            return port
    with _socket_for(host) as probe:  # no such port on this machine: any is better than none
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def choose_port(folder: Path, asked: int | None, name: str) -> int:
    """The port asked for, else that of the last run, else a free one. Raises `PortTaken`.

    The server of a run that was killed may still be ending, so its port is waited for a little.
    """
    if asked:
        if not port_is_free(asked):
            raise PortTaken(name=name, host=LOOPBACK, port=asked)
        return asked
    kept = folder / "port"
    last = kept.read_text().strip() if kept.exists() else ""
    if not last.isdecimal():
        return free_port()
    deadline = time.monotonic() + _KEPT_PORT_SECONDS
    while not port_is_free(int(last)):
        if time.monotonic() > deadline:
            return free_port()
        time.sleep(0.02)
    return int(last)


def _first_outgoing_port() -> int:
    """Where the range of ports for outgoing connections begins."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:  # the system does not tell
        return _USUAL_FIRST_OUTGOING_PORT


def running_address(folder: Path, name: str, variable: str) -> tuple[str, int]:
    """Password and port of the server that runs in `folder` now. Raises `NoServer`."""
    if not is_held(folder / "lock") or not (folder / "port").exists():
        raise NoServer(variable=variable, name=name, folder=folder)
    return (folder / "password").read_text().strip(), int((folder / "port").read_text())


def secret(path: Path) -> str:
    """The password kept in `path` (mode 0600), made at the first call."""
    if path.exists():
        return path.read_text().strip()
    made = secrets.token_urlsafe(24)
    half = path.with_name(path.name + ".new")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(made + "\n")
    half.replace(path)
    return made


def spawn_server(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a server that writes to `log` and gets `death_signal` when our thread ends.

    Raises `AccountRefused`.
    """
    with log.open("ab") as output:
        try:
            return spawn(
                command,
                env=env,
                cwd=cwd,
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                death_signal=death_signal,
                account=account,
            )
        except PermissionError as error:
            if account is None:
                raise
            raise AccountRefused(why=str(error.strerror)) from error


def limit_log(log: Path) -> None:
    """Copy a large log aside and empty it. Its writer appends, so it simply goes on."""
    if log.exists() and log.stat().st_size > _LARGEST_LOG_BYTES:
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        with log.open("r+b") as file:
            file.truncate()


def log_tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"


def wait_until(
    ready: Callable[[], bool],
    process: subprocess.Popen[bytes],
    timeout_seconds: float,
    interrupted: Callable[[], bool],
) -> str | None:
    """Wait until `ready()`; else the reason in words: it ended, the time ran out, we gave up."""
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if interrupted():
            return "the start was interrupted"
        status = process.poll()
        if status is not None:
            return f"it ended with status {status}"
        if time.monotonic() > deadline:
            return f"it was not ready within {timeout_seconds:g} s"
        time.sleep(0.02)
    return None


def stop_process(
    process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]
) -> int:
    """Send each signal and give it its seconds; SIGKILL ends the rest. Returns the status."""
    for number, seconds in steps:
        if process.poll() is not None:
            break
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # one that was stopped would not hear it
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        process.kill()
    return process.wait(timeout=30)
