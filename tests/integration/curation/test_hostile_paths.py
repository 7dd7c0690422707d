"""No file in the way, no link and no name leads a reader astray."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from academy.curation.git.repository import inspect
from academy.errors import RepositoryRefused
from tests.integration.curation.hostile import read
from tests.unit.curation.reftables import store_refs_in_tables


@pytest.mark.timing
@pytest.mark.parametrize("name", ["config", "HEAD", "packed-refs", "shallow", "objects/ab", "refs"])
def test_a_named_pipe_in_the_way_does_not_block(name: str, tmp_path: Path, history: Any) -> None:
    path = history.path / ".git" / name
    main = history.path / ".git/refs/heads/main"
    if name in ("refs", "packed-refs"):
        main.unlink()
        path = main if name == "refs" else path
    elif path.is_file():
        path.unlink()
    elif path.is_dir():
        path = path / "pipe"
    os.mkfifo(path)
    began = time.monotonic()
    with pytest.raises(RepositoryRefused, match=r"no regular file"):
        read(tmp_path, history)
    assert time.monotonic() - began < 5


@pytest.mark.timing
@pytest.mark.parametrize("which", [0, 1])
def test_a_named_pipe_instead_of_ref_tables_does_not_block(
    which: int, tmp_path: Path, history: Any
) -> None:
    store_refs_in_tables(history.path / ".git", {"HEAD": "a" * 40}, 20)
    with (history.path / ".git/config").open("a") as config:
        config.write("[extensions]\n\trefStorage = reftable\n")
    path = sorted((history.path / ".git/reftable").iterdir())[which]
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RepositoryRefused, match=r"no regular file"):
        read(tmp_path, history)


@pytest.mark.parametrize("name", ["config", "HEAD", "packed-refs", "shallow", "commondir"])
def test_a_folder_in_the_way_is_refused(name: str, tmp_path: Path, history: Any) -> None:
    path = history.path / ".git" / name
    if name == "packed-refs":
        (history.path / ".git/refs/heads/main").unlink()
    path.unlink(missing_ok=True)
    path.mkdir()
    with pytest.raises(RepositoryRefused, match=r"no regular file"):
        inspect(str(history.path), [tmp_path / "roots"])


def test_an_included_config_is_not_opened(tmp_path: Path, history: Any) -> None:
    os.mkfifo(tmp_path / "roots/pipe")
    with (history.path / ".git/config").open("a") as config:
        config.write(f'[include]\n\tpath = {tmp_path}/roots/pipe\n[includeIf "gitdir:/"]\n')
        config.write(f"\tpath = {tmp_path}/roots/pipe\n")
    assert read(tmp_path, history)["total_examples"] == 12


@pytest.fixture
def secret(tmp_path: Path, history: Any) -> Any:
    """A repository outside of the allowed roots, which nothing may lead into."""
    folder = tmp_path / "outside"
    folder.mkdir()
    history.git("clone", "-q", "--bare", str(history.path), str(folder / "secret.git"))
    return folder / "secret.git"


def _dot_git_file(repo: Path, secret: Path) -> None:
    subprocess.run(["rm", "-r", repo / ".git"], check=True)
    (repo / ".git").write_text(f"gitdir: {secret}\n")


def _dot_git_link(repo: Path, secret: Path) -> None:
    subprocess.run(["rm", "-r", repo / ".git"], check=True)
    (repo / ".git").symlink_to(secret)


def _common_dir(repo: Path, secret: Path) -> None:
    (repo / ".git/commondir").write_text(f"{secret}\n")


def _common_dir_link(repo: Path, secret: Path) -> None:
    (secret.parent / "elsewhere").write_text(f"{secret}\n")
    (repo / ".git/commondir").symlink_to(secret.parent / "elsewhere")


def _alternates(repo: Path, secret: Path) -> None:
    (repo / ".git/objects/info").mkdir(exist_ok=True)
    (repo / ".git/objects/info/alternates").write_text(f"{secret}/objects\n")


def _relative_alternates(repo: Path, secret: Path) -> None:
    (repo / ".git/objects/info").mkdir(exist_ok=True)
    (repo / ".git/objects/info/alternates").write_text(
        "# x\n../../../../outside/secret.git/objects\n"
    )


def _quoted_alternates(repo: Path, secret: Path) -> None:
    (repo / ".git/objects/info").mkdir(exist_ok=True)
    (repo / ".git/objects/info/alternates").write_text(f'"{secret}/objects"\n')


def _objects_link(repo: Path, secret: Path) -> None:
    (repo / ".git/objects").rename(repo / ".git/old")
    (repo / ".git/objects").symlink_to(secret / "objects")


def _pack_link(repo: Path, secret: Path) -> None:
    (repo / ".git/objects/pack").rmdir()
    (repo / ".git/objects/pack").symlink_to(secret / "objects/pack")


def _object_link(repo: Path, secret: Path) -> None:
    loose = next(p for p in (secret / "objects").rglob("*") if p.is_file())
    (repo / ".git/objects/pack/pack-0.pack").symlink_to(loose)


def _ref_link(repo: Path, secret: Path) -> None:
    (secret / "id").write_text("a" * 40)
    (repo / ".git/refs/heads/main").unlink()
    (repo / ".git/refs/heads/main").symlink_to(secret / "id")


def _refs_link(repo: Path, secret: Path) -> None:
    (secret / "refs/heads/main").parent.mkdir(exist_ok=True)
    (secret / "refs/heads/main").write_text("a" * 40)
    (repo / ".git/refs/heads").rename(repo / ".git/old")
    (repo / ".git/refs/heads").symlink_to(secret / "refs/heads")


def _packed_refs_link(repo: Path, secret: Path) -> None:
    (repo / ".git/refs/heads/main").unlink()
    (repo / ".git/packed-refs").symlink_to(secret / "packed-refs")


def _config_link(repo: Path, secret: Path) -> None:
    (repo / ".git/config").unlink()
    (repo / ".git/config").symlink_to(secret / "config")


def _tables_link(repo: Path, secret: Path) -> None:
    store_refs_in_tables(secret, {"HEAD": "a" * 40}, 20)
    with (repo / ".git/config").open("a") as config:
        config.write("[extensions]\n\trefStorage = reftable\n")
    (repo / ".git/reftable").symlink_to(secret / "reftable")


WAYS_OUT = (
    _dot_git_file,
    _dot_git_link,
    _common_dir,
    _common_dir_link,
    _alternates,
    _relative_alternates,
    _quoted_alternates,
    _objects_link,
    _pack_link,
    _object_link,
    _ref_link,
    _refs_link,
    _packed_refs_link,
    _config_link,
    _tables_link,
)


@pytest.mark.parametrize("way", WAYS_OUT, ids=lambda way: way.__name__.strip("_"))
def test_no_link_leads_out_of_the_allowed_roots(
    way: Callable[[Path, Path], None], tmp_path: Path, history: Any, secret: Path
) -> None:
    way(history.path, secret)
    with pytest.raises(RepositoryRefused):
        inspect(str(history.path), [tmp_path / "roots"])


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("ref: refs/heads/../../../outside\n", "no valid ref name"),
        ("ref: /etc/passwd\n", "no git repository"),
        ("ref: --output=/tmp/x\n", "no git repository"),
        ("ref: refs/heads/a b\n", "no valid ref name"),
        ("0123456789abcdef\n", "no git repository"),
        ("a" * 64 + "\n", "does not hold a sha1 id"),
    ],
)
def test_a_head_that_is_no_branch_is_refused(
    head: str, why: str, tmp_path: Path, history: Any
) -> None:
    (history.path / ".git/HEAD").write_text(head)
    with pytest.raises(RepositoryRefused, match=why):
        inspect(str(history.path), [tmp_path / "roots"])


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("https://example.com/a.git", "remote address"),
        ("ssh://git@example.com/a.git", "remote address"),
        ("git@example.com:a.git", "remote address"),
        ("ext::sh -c touch% x", "remote address"),
        ("", "no path"),
        ("a\nb", "no path"),
        ("a\0b", "no path"),
        ("{roots}/none", "cannot be reached"),
        ("{roots}", "no git repository"),
        ("{roots}/file", "no folder"),
        ("{roots}/../outside/secret.git", "outside the allowed roots"),
        ("{roots}/way_out", "outside the allowed roots"),
        ("/", "outside the allowed roots"),
    ],
)
def test_a_path_that_may_not_be_read_is_refused_with_the_reason(
    path: str, why: str, tmp_path: Path, roots: Path, secret: Path
) -> None:
    (roots / "way_out").symlink_to(secret)
    (roots / "file").write_text("x")
    with pytest.raises(RepositoryRefused, match=why):
        inspect(path.format(roots=roots), [roots])


@pytest.mark.parametrize(
    ("extension", "why"),
    [
        ("objectFormat = md5", "unknown"),
        ("refStorage = cloud", "unknown"),
        ("somethingNew = 1", "unknown extension"),
    ],
)
def test_a_repository_from_the_future_is_refused(
    extension: str, why: str, tmp_path: Path, history: Any
) -> None:
    with (history.path / ".git/config").open("a") as config:
        config.write(f"[extensions]\n\t{extension}\n")
    with pytest.raises(RepositoryRefused, match=why):
        inspect(str(history.path), [tmp_path / "roots"])
