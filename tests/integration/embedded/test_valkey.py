"""The embedded Valkey: what it keeps, what it survives, what it refuses."""

from __future__ import annotations

import contextlib
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from academy.embedded.program import FolderInUse, PortTaken, ServerFailed
from academy.embedded.valkey import EmbeddedValkey
from academy.host.processes import wait_until_gone

STARTER = """
import signal, sys
from pathlib import Path
from academy.embedded.valkey import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1]))
url = server.start()
print(url, server.process.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def valkey() -> Iterator[Callable[..., EmbeddedValkey]]:
    """Makes servers that end with the test, also with one that fails."""
    with contextlib.ExitStack() as ends:

        def make(folder: Path, **options: Any) -> EmbeddedValkey:
            server = EmbeddedValkey(folder, **options)
            ends.callback(server.stop)
            return server

        yield make


def test_killing_the_starter_ends_the_server_and_keeps_every_answered_write(
    tmp_path: Path, valkey: Callable[..., EmbeddedValkey]
) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    url, pid = starter.stdout.readline().split()
    with redis.Redis.from_url(url) as client:
        client.xadd("log", {"line": "one"}, id="1-1")
    starter.send_signal(signal.SIGKILL)
    starter.wait(timeout=10)
    starter.stdout.close()
    assert wait_until_gone(int(pid), 10)
    server = valkey(tmp_path)
    assert server.start() == url
    with redis.Redis.from_url(url) as client:
        assert client.xlen("log") == 1
    server.stop()


def test_it_wants_its_password_and_shows_it_to_nobody_else(
    tmp_path: Path, valkey: Callable[..., EmbeddedValkey]
) -> None:
    server = valkey(tmp_path, durable=False)
    server.start()
    assert server.process is not None
    with (
        redis.Redis(host="127.0.0.1", port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    password = (tmp_path / "password").read_text().strip()
    assert password not in Path(f"/proc/{server.process.pid}/cmdline").read_text()
    assert stat.S_IMODE((tmp_path / "valkey.conf").stat().st_mode) == 0o600
    server.stop()


def test_a_second_server_on_the_folder_is_refused_at_once(
    tmp_path: Path, valkey: Callable[..., EmbeddedValkey]
) -> None:
    server = valkey(tmp_path, durable=False)
    server.start()
    with pytest.raises(FolderInUse, match="Another Valkey already works on"):
        valkey(tmp_path).start()
    server.stop()


def test_a_port_in_use_is_named(tmp_path: Path, valkey: Callable[..., EmbeddedValkey]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Valkey cannot listen on 127.0.0.1:{port}"):
            valkey(tmp_path, port=port).start()


def test_a_failed_start_shows_the_end_of_the_log(
    tmp_path: Path, valkey: Callable[..., EmbeddedValkey]
) -> None:
    (tmp_path / "appendonlydir").write_text("a file where a folder has to be")
    with pytest.raises(ServerFailed, match=r"Valkey did not start[\s\S]*append"):
        valkey(tmp_path).start()


def test_a_folder_with_spaces_and_quotes_is_a_folder_like_any_other(
    tmp_path: Path, valkey: Callable[..., EmbeddedValkey]
) -> None:
    server = valkey(tmp_path / 'my "home" \\ here')
    with redis.Redis.from_url(server.start()) as client:
        client.set("a", "b")
    server.stop()
    assert (server.folder / "appendonlydir").is_dir()
