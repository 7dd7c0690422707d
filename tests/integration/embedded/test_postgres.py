"""The embedded PostgreSQL: what it keeps, what it survives, what it refuses."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from academy.embedded.postgres import EmbeddedPostgres, WrongDataVersion
from academy.embedded.program import FolderInUse, PortTaken, ServerFailed
from academy.host.processes import is_alive

STARTER = """
import signal, sys
from pathlib import Path
from academy.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
url = server.start()
print(url, server.process.pid, flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an initialised, stopped server, to be copied: initdb takes a second."""
    folder = tmp_path_factory.mktemp("made") / "postgres"
    server = EmbeddedPostgres(folder, durable=False)
    server.start()
    server.stop()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    # The copies of root belong to root: that the server gives itself its data is tested by this.
    shutil.copytree(made, tmp_path / "postgres", copy_function=shutil.copy2)
    (tmp_path / "postgres" / "port").unlink()
    return tmp_path / "postgres"


@pytest.fixture
def postgres() -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Makes servers that end with the test, also with one that fails."""
    with contextlib.ExitStack() as ends:

        def make(folder: Path, **options: Any) -> EmbeddedPostgres:
            server = EmbeddedPostgres(folder, **options)
            ends.callback(server.stop)
            return server

        yield make


def test_data_port_and_password_outlive_a_restart(
    folder: Path, postgres: Callable[..., EmbeddedPostgres]
) -> None:
    server = postgres(folder, durable=False)
    first = server.start()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 41 + 1 AS answer")
    server.stop()
    again = postgres(folder, durable=False)
    assert again.start() == first
    with psycopg.connect(first) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        settings = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('max_connections')::int,"
            " current_setting('unix_socket_directories')"
        ).fetchone()
    again.stop()
    assert settings == ("127.0.0.1", 200, "")
    assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600


def test_killing_the_starter_ends_the_server_and_the_next_start_finds_every_commit(
    folder: Path, postgres: Callable[..., EmbeddedPostgres]
) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    url, pid = starter.stdout.readline().split()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    starter.send_signal(signal.SIGKILL)
    starter.wait(timeout=10)
    starter.stdout.close()
    # No waiting here: the next start itself has to cope with a server that is still going down.
    server = postgres(folder)
    assert server.start() == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert not is_alive(int(pid))
    server.stop()


def test_a_lock_file_that_names_a_living_stranger_is_no_obstacle(
    folder: Path, postgres: Callable[..., EmbeddedPostgres]
) -> None:
    (folder / "data" / "postmaster.pid").write_text(
        f"{os.getpid()}\n{folder}/data\n1\n5432\n\n127.0.0.1\n0 0\nready\n"
    )
    server = postgres(folder, durable=False)
    url = server.start()
    psycopg.connect(url).close()
    server.stop()


def test_a_second_server_on_the_folder_is_refused_at_once(
    folder: Path, postgres: Callable[..., EmbeddedPostgres]
) -> None:
    server = postgres(folder, durable=False)
    server.start()
    with pytest.raises(FolderInUse, match="already works on"):
        postgres(folder).start()
    server.stop()


def test_a_port_in_use_is_named(folder: Path, postgres: Callable[..., EmbeddedPostgres]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}"):
            postgres(folder, port=port).start()


def test_the_kept_port_is_left_when_another_program_has_it(
    folder: Path, postgres: Callable[..., EmbeddedPostgres]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        (folder / "port").write_text(str(other.getsockname()[1]))
        server = postgres(folder, durable=False)
        url = server.start()
        assert f":{other.getsockname()[1]}/" not in url
        server.stop()


def test_data_of_another_major_version_is_refused_with_both_versions(
    folder: Path, postgres: Callable[..., EmbeddedPostgres]
) -> None:
    (folder / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(
        WrongDataVersion, match="made by PostgreSQL 15, but the installed one is 18"
    ):
        postgres(folder).start()


def test_a_failed_start_shows_the_end_of_the_log_and_frees_the_folder(
    folder: Path, postgres: Callable[..., EmbeddedPostgres]
) -> None:
    conf = folder / "data" / "postgresql.conf"
    whole = conf.read_text()
    conf.write_text(whole + "\nshared_buffers = 'plenty'\n")
    server = postgres(folder, durable=False)
    with pytest.raises(ServerFailed, match=r"ended with status 1[\s\S]*shared_buffers.*plenty"):
        server.start()
    conf.write_text(whole)
    server.start()
    server.stop()


def test_a_half_made_cluster_of_a_killed_first_start_is_made_anew(
    tmp_path: Path, postgres: Callable[..., EmbeddedPostgres]
) -> None:
    half = tmp_path / "data.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = postgres(tmp_path, durable=False)
    psycopg.connect(server.start()).close()
    server.stop()
    assert not half.exists()


def test_a_folder_with_spaces_and_quotes_is_a_folder_like_any_other(
    tmp_path: Path, postgres: Callable[..., EmbeddedPostgres]
) -> None:
    server = postgres(tmp_path / 'my "home" \\ here', durable=False)
    psycopg.connect(server.start()).close()
    server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another account")
def test_root_that_may_become_nobody_else_is_told_the_ways_out(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTER, str(tmp_path / "pg")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=_drop_setuid,
    )
    assert "AccountRefused: PostgreSQL does not run as root" in done.stderr


def _drop_setuid() -> None:
    """Take CAP_SETUID (7) from the bounding set, as `docker run --cap-drop` does."""
    assert ctypes.CDLL(None).prctl(24, 7, 0, 0, 0) == 0
