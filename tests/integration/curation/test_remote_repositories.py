"""Remote repositories: refused by shape, off by default, fetched over https into a cache."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from academy.curation.errors import SourceFailed
from academy.curation.git.remote import check_address, fetch
from academy.curation.git.repository import inspect
from academy.curation.request import CurationRequest
from academy.curation.supervisor import curate_job
from academy.errors import RepositoryRefused
from academy.store.jobs.tables import Job


@pytest.mark.parametrize(
    "address",
    [
        *("ext::sh -c touch% x", "ext::sh", "fd::7", "file:///etc", "file://host/x", "/etc/x"),
        *("git://example.com/a.git", "http://example.com/a.git", "ftp://example.com/a"),
        *("ssh://-oProxyCommand=touch%20x/a", "ssh://-oProxyCommand=x@host/a", "-oProxyCommand=x"),
        *("--upload-pack=touch x", "https://--upload-pack=x/a", "git@-oProxyCommand=x:a"),
        *("git@host:-x", "-x@host:a", "ssh://host:22x/a", "https://host:99999999/a"),
        *("https://user:word@example.com/a.git", "https://token@example.com/a.git"),
        *(
            "ssh://git:word@example.com/a.git",
            "https://example.com/a?b=c",
            "https://example.com/a#b",
        ),
        *("https://example.com/../a", "https://example.com/", "https://example.com", "https:///a"),
        *("https://exa mple.com/a", "https://example.com/a\nb", "https://example.com/a\0b", ""),
        *("https::https://example.com/a", "HTTPS://example.com/a", "https://[::1/a", "x" * 2_000),
        *(
            "git@host:a;touch x",
            "git@host:$(touch x)",
            "https://example.com/`x`",
            "ssh://host/~/'a'",
        ),
    ],
)
def test_an_address_that_is_more_than_an_address_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(RepositoryRefused):
        check_address(address)
    with pytest.raises(RepositoryRefused):
        fetch(address, tmp_path / "cache", 5, lambda: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    [
        *("https://github.com/pallets/flask", "https://example.com:8443/a/b.git/"),
        *("git@github.com:pallets/flask.git", "ssh://git@example.com:2222/~me/a.git"),
        *("ssh://example.com/a", "https://[::1]:8443/a.git"),
    ],
)
def test_an_ordinary_address_is_accepted(address: str) -> None:
    check_address(address)


class _Files(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        """Files, and for what has moved a redirect to where it is."""
        if not self.path.startswith("/moved/"):
            return super().do_GET()
        self.send_response(302)
        self.send_header("Location", self.path.replace("/moved/", "/", 1))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A folder that an https server on the loopback shows; its address, and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made += ["-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out"]
    subprocess.run([*made, str(certificate)], check=True, capture_output=True, timeout=30)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def _show(repo: Any, folder: Path) -> None:
    """Put a copy of the repository where git's simple http protocol finds it."""
    shutil.rmtree(folder, ignore_errors=True)
    repo.git("clone", "-q", "--bare", str(repo.path), str(folder))
    repo.git("-C", str(folder), "gc", "-q")
    repo.git("-C", str(folder), "update-server-info")


def test_what_head_reaches_is_fetched_and_the_second_time_only_what_is_new(
    served: tuple[str, Path], history: Any, tmp_path: Path
) -> None:
    address, folder = served
    _show(history, folder / "project.git")
    cache = tmp_path / "cache"
    path = fetch(f"{address}/project.git", cache, 60, lambda: None)
    found = inspect(str(path), [cache])
    assert (found.name, found.head) == ("project", history.git("rev-parse", "HEAD"))
    packs = {each.name for each in path.rglob("*.pack")}
    history.git("commit", "-q", "--amend", "-m", "Rewrite the last of them")
    _show(history, folder / "project.git")
    again = fetch(f"{address}/project.git", cache, 60, lambda: None)
    assert again == path
    assert inspect(str(path), [cache]).head == history.git("rev-parse", "HEAD")
    assert packs <= {each.name for each in path.rglob("*.pack")}
    config = (path / "config").read_text()
    assert "remote" not in config and "127.0.0.1" not in config


def test_a_redirect_is_not_followed_and_an_unknown_certificate_not_trusted(
    served: tuple[str, Path], history: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = served
    _show(history, folder / "project.git")
    for place, why in (("nothing", "not found"), ("moved/project", "redirect|302")):
        with pytest.raises(SourceFailed, match=why):
            fetch(f"{address}/{place}.git", tmp_path / "cache", 60, lambda: None)
    monkeypatch.delenv("GIT_SSL_CAINFO")
    with pytest.raises(SourceFailed, match="certificate"):
        fetch(f"{address}/project.git", tmp_path / "cache", 60, lambda: None)


def test_a_server_that_says_nothing_ends_in_a_failure_and_a_cancel_is_heard(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/a.git"
        with pytest.raises(SourceFailed, match="git took too long"):
            fetch(address, tmp_path / "cache", 1.0, lambda: None)

        class Stopped(Exception):
            pass

        def stop() -> None:
            raise Stopped

        with pytest.raises(Stopped):
            fetch(address, tmp_path / "cache", 60.0, stop)
    listed = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True)
    assert address not in listed.stdout


def test_a_job_reads_a_remote_repository_only_where_the_administrator_allows_it(
    served: tuple[str, Path], history: Any, carry: Callable[..., Job]
) -> None:
    address, folder = served
    _show(history, folder / "project.git")
    request = CurationRequest(repositories=(f"{address}/project.git",), lessons_limit=0)
    with pytest.raises(RepositoryRefused, match="ACADEMY_ALLOW_GIT_REMOTES=1"):
        carry(curate_job, request)
    job = carry(curate_job, request, allow_git_remotes=1)
    assert job.result is not None, job.failure_message
    told = job.result["statistics"]
    assert told["git_commits_collected"] == 12
    assert told["request"]["repositories"] == ["project"]
    hostile = CurationRequest(repositories=("ext::sh -c touch% x",))
    with pytest.raises(RepositoryRefused, match="no address"):
        carry(curate_job, hostile, allow_git_remotes=1)
