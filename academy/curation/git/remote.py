"""Histories from elsewhere: fetched into a cache of our own, then read like any other.

Off unless ``ACADEMY_ALLOW_GIT_REMOTES=1``: else whoever may curate could make this host talk to any
address that it reaches. Only https and ssh are spoken. Every other form is refused by its shape
before git sees it, since some run programs (``ext::``) and some are options in disguise.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from academy.curation.errors import SourceFailed
from academy.curation.git.shadow import GUARDS
from academy.errors import RepositoryRefused
from academy.host.filelock import FileLock
from academy.host.processes import end_group, spawn

#: ``user@host:path``, as scp and git write it.
_SCP = re.compile(r"(?P<user>\w[\w.-]*)@(?P<host>[^:/@\s]+):(?P<path>.+)")
_USER = re.compile(r"\w[\w.-]*")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_PATH = re.compile(r"/?[\w.~+@%][\w.~+@%/-]*")
_LONGEST_ADDRESS = 1_000
_SSH = (
    "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=20"
    " -o PermitLocalCommand=no -o ClearAllForwardings=yes"
)
#: What the administrator of this host may have set for all programs: keys, proxies, authorities.
_PASSED_ON = ("HOME", "SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "https_proxy", "no_proxy")
_LARGEST_FILE = 16 << 30
_WAIT_SECONDS = 0.2


def check_address(address: str) -> None:
    """Raise `RepositoryRefused` unless `address` is one of https or ssh, and nothing more."""

    def refuse(why: str) -> RepositoryRefused:
        return RepositoryRefused(path=address[:200], why=why)

    if len(address) > _LONGEST_ADDRESS or not address.isprintable() or " " in address:
        raise refuse("that is no address")
    if scp := _SCP.fullmatch(address):
        user, host, path = scp["user"], scp["host"], scp["path"]
    else:
        try:
            parts = urlsplit(address)
            _ = parts.port  # raises where it is no number
        except ValueError as error:
            raise refuse(f"that is no address ({error})") from None
        if parts.scheme not in {"https", "ssh"} or not address.startswith(f"{parts.scheme}://"):
            raise refuse("only https:// and ssh addresses are fetched")
        if parts.password is not None or (parts.scheme == "https" and parts.username is not None):
            raise refuse("an address with a name or password in it would be stored and shown")
        if parts.query or parts.fragment:
            raise refuse("an address of a repository has no query and no fragment")
        user, path = parts.username or "git", parts.path
        host = parts.netloc.rpartition("@")[2]
        host = re.sub(r":\d+$", "", host)
    if not (_USER.fullmatch(user) and _HOST.fullmatch(host) and _PATH.fullmatch(path)):
        raise refuse("its user, host or path holds what no address of a repository needs")
    if ".." in path.split("/") or path.strip("/") == "":
        raise refuse("its path names no repository")


def fetch(address: str, cache: Path, seconds: float, tick: Callable[[], None]) -> Path:
    """The bare repository under `cache` that has what HEAD reaches at `address` today.

    A second fetch gets only what is new. `tick` is called every 0.2 s and may raise to stop, which
    ends git. Raises `RepositoryRefused` for the address, and `SourceFailed` with git's words.
    """
    check_address(address)
    path = cache / sha256(address.encode()).hexdigest()[:24] / f"{_name(address)}.git"
    deadline = time.monotonic() + seconds
    with _held(path.parent / "lock", address, deadline, tick):
        if not (path / "HEAD").exists():
            path.mkdir(parents=True, exist_ok=True)
            init = ["init", "--quiet", "--bare", "--template=", "--initial-branch=remote", "."]
            _git(path, init, address, deadline, tick)
        for left in (path / "objects/pack").glob("tmp_*"):  # by a fetch that was killed
            left.unlink(missing_ok=True)
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
        refs = "+HEAD:refs/heads/remote"
        _git(path, ["fetch", *options, "--force", "--", address, refs], address, deadline, tick)
    return path


def _name(address: str) -> str:
    last = re.split(r"[/:]", address.rstrip("/"))[-1].removesuffix(".git")
    return re.sub(r"[^\w.-]", "_", last).lstrip(".-") or "repository"


@contextmanager
def _held(path: Path, address: str, deadline: float, tick: Callable[[], None]) -> Iterator[None]:
    lock = FileLock(path)
    if not lock.acquire(within_seconds=deadline - time.monotonic(), tick=tick):
        raise _failed(address, "another curation has been fetching it all the time")
    try:
        yield
    finally:
        lock.release()


def _git(
    folder: Path,
    arguments: list[str],
    address: str,
    deadline: float,
    tick: Callable[[], None],
) -> None:
    command = ["git", "--no-pager", *GUARDS]
    command += ["-c", "http.followRedirects=false", "-c", "credential.helper=", *arguments]
    with tempfile.TemporaryFile() as complaints:
        process = spawn(command, env=_environ(folder), cwd=folder, stderr=complaints)
        try:
            if sys.platform == "linux":
                with contextlib.suppress(ProcessLookupError):  # it has failed and will be heard
                    limit = (_LARGEST_FILE, _LARGEST_FILE)
                    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limit)
            while process.poll() is None:
                tick()
                if time.monotonic() > deadline:
                    raise _failed(address, "git took too long")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=_WAIT_SECONDS)
        finally:
            end_group(process, 0)
        if process.returncode != 0:
            complaints.seek(0)
            said = complaints.read(4096).decode("utf-8", "replace").strip()
            raise _failed(address, " ".join(said.split())[:300] or f"git {process.returncode}")


def _environ(folder: Path) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **passed,
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "GIT_DIR": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ALLOW_PROTOCOL": "https:ssh",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "SSH_ASKPASS": "/bin/false",
        "GIT_SSH_COMMAND": _SSH,
        "GIT_SSH_VARIANT": "ssh",
        "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
        "GIT_HTTP_LOW_SPEED_TIME": "60",
    }


def _failed(address: str, why: str) -> SourceFailed:
    return SourceFailed(source=f"git:{address}", rows_read=0, why=why)
