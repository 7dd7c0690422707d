"""One fixture for each way in which a repository can run code, write files or forge history.

Where git itself falls for a trap, the test shows that it does: a trap that would not work
anyway proves nothing.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from academy.curation.curate import curate
from academy.curation.errors import SourceFailed
from academy.curation.git.repository import inspect
from academy.curation.request import CurationRequest
from academy.errors import RepositoryRefused

Lure = Callable[..., Any]


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that leaves a file when it is run."""
    (tmp_path / "sprung").mkdir()
    program = tmp_path / "trap.sh"
    program.write_text(f'#!/bin/sh\ntouch "{tmp_path}/sprung/$$"\ncat "$1" 2>/dev/null\nexit 0\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def victim(history: Any) -> Any:
    """A repository whose attributes name a diff driver, as a hostile one's would."""
    history.commit(
        "Name a driver for every file",
        {".gitattributes": "* diff=evil filter=evil merge=evil\n", "driven.txt": "driven\n"},
    )
    return history


def sprung(trap: Path) -> int:
    marks = list((trap.parent / "sprung").iterdir())
    for mark in marks:
        mark.unlink()
    return len(marks)


def snapshot(*folders: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for folder in folders
        for path in sorted(folder.rglob("*"))
    }


def read(tmp_path: Path, repo: Any, **options: Any) -> dict[str, Any]:
    """Curate the repository; it must be byte for byte as it was, and nothing else may appear."""
    before = snapshot(repo.path)
    outside = {path.name for path in tmp_path.iterdir()}
    request = CurationRequest(repositories=(str(repo.path),), **options)
    try:
        result = curate(request, out=tmp_path / "dataset", allowed_roots=[tmp_path / "roots"])
    finally:
        assert snapshot(repo.path) == before
        assert {path.name for path in tmp_path.iterdir()} - outside <= {"dataset"}
    return result.statistics


CONFIG_TRAPS = {
    "textconv": ("diff.evil.textconv", "log -p"),
    "external diff of a driver": ("diff.evil.command", "diff HEAD~1"),
    "external diff": ("diff.external", "diff HEAD~1"),
    "fsmonitor": ("core.fsmonitor", "status"),
    "clean filter": ("filter.evil.clean", "add --renormalize ."),
    "alias": ("alias.history", "history"),
}


@pytest.mark.parametrize("name", CONFIG_TRAPS)
def test_a_config_that_names_a_program_does_not_run_it(
    name: str, tmp_path: Path, victim: Any, trap: Path
) -> None:
    key, bait = CONFIG_TRAPS[name]
    (victim.path / "driven.txt").touch()
    victim.git("config", key, f"!{trap}" if key.startswith("alias") else str(trap))
    victim.git(*bait.split(), check=False)
    assert sprung(trap) > 0, f"git does not fall for {key} with `git {bait}`"
    victim.git("checkout", "-q", "--", ".")
    sprung(trap)
    assert read(tmp_path, victim)["total_examples"] >= 12
    assert sprung(trap) == 0


def test_a_signed_commit_does_not_run_the_gpg_program(
    tmp_path: Path, victim: Any, trap: Path
) -> None:
    body = victim.git("cat-file", "commit", "HEAD").split("\n")
    at = body.index("")
    signature = [
        "gpgsig -----BEGIN PGP SIGNATURE-----",
        " ",
        " iQEzBAABCAAdFiEE",
        " -----END PGP SIGNATURE-----",
    ]
    raw = "\n".join([*body[:at], *signature, *body[at:]]) + "\n"
    made = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"],
        cwd=victim.path,
        input=raw.encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    victim.git("reset", "-q", "--soft", made.stdout.decode().strip())
    victim.git("config", "log.showSignature", "true")
    victim.git("config", "gpg.program", str(trap))
    victim.git("log", "-p", "--no-textconv", "--no-ext-diff", check=False)
    assert sprung(trap) > 0
    assert read(tmp_path, victim)["total_examples"] >= 12
    assert sprung(trap) == 0


def test_a_promisor_remote_does_not_fetch_what_is_missing(
    tmp_path: Path, victim: Any, trap: Path
) -> None:
    blob = victim.git("rev-parse", "HEAD:driven.txt")
    (victim.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": "ssh://nobody@127.0.0.1/nothing",
        "remote.origin.promisor": "true",
        "core.sshCommand": str(trap),
    }.items():
        victim.git("config", key, value)
    victim.git("log", "-p", check=False)
    assert sprung(trap) > 0
    with pytest.raises(SourceFailed, match=r"git:project"):
        read(tmp_path, victim)
    assert sprung(trap) == 0
    assert not (tmp_path / "dataset").exists()


def test_every_other_program_that_a_config_can_name_stays_unrun(
    tmp_path: Path, victim: Any, trap: Path
) -> None:
    for key in (
        *("core.pager", "pager.log", "core.editor", "core.askPass", "core.gitProxy"),
        *("core.sshCommand", "core.alternateRefsCommand", "credential.helper", "gpg.ssh.program"),
        *("gpg.x509.program", "filter.evil.smudge", "filter.evil.process", "merge.evil.driver"),
        *("trailer.sign.command", "trailer.sign.cmd", "interactive.diffFilter", "web.browser"),
        *("uploadpack.packObjectsHook", "sequence.editor", "difftool.x.cmd", "mergetool.x.cmd"),
        *("browser.x.cmd", "man.x.cmd", "sendemail.smtpServer", "core.hooksPath"),
    ):
        victim.git("config", key, str(trap))
    for key, value in {
        "log.mailmap": "true",
        "mailmap.file": "/etc/passwd",
        "diff.orderFile": "/etc/passwd",
        "core.attributesFile": "/etc/passwd",
        "core.worktree": "/",
        "color.ui": "always",
        "diff.noprefix": "true",
        "log.follow": "true",
        "format.pretty": "%H FORGED",
        "diff.wsErrorHighlight": "all",
    }.items():
        victim.git("config", key, value)
    for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction"):
        target = victim.path / ".git/hooks" / hook
        target.parent.mkdir(exist_ok=True)
        target.write_text(trap.read_text())
        target.chmod(0o755)
    sprung(trap)
    assert read(tmp_path, victim)["total_examples"] >= 12
    assert sprung(trap) == 0


def test_our_own_environment_does_not_reach_git(
    tmp_path: Path, victim: Any, trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "GIT_EXTERNAL_DIFF": str(trap),
        "GIT_SSH_COMMAND": str(trap),
        "GIT_PAGER": str(trap),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "diff.external",
        "GIT_CONFIG_VALUE_0": str(trap),
        "GIT_CONFIG_PARAMETERS": f"'diff.external={trap}'",
        "GIT_TRACE": str(tmp_path / "trace"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/nowhere",
        "GIT_REPLACE_REF_BASE": "refs/replace/",
    }.items():
        monkeypatch.setenv(name, value)
    assert read(tmp_path, victim)["total_examples"] >= 12
    assert sprung(trap) == 0


def test_a_ref_named_like_an_option_writes_no_file(tmp_path: Path, history: Any) -> None:
    target = tmp_path / "written"
    head = history.git("rev-parse", "HEAD")
    name = f"refs/heads/--output={target}"
    ref = history.path / ".git" / name
    ref.parent.mkdir(parents=True)
    ref.write_text(head + "\n")
    (history.path / ".git/HEAD").write_text(f"ref: {name}\n")
    assert read(tmp_path, history)["total_examples"] == 12
    assert not target.exists()


def test_content_that_imitates_the_log_makes_no_rows(tmp_path: Path, history: Any) -> None:
    forged = "\n".join(
        [
            "0" * 32,
            "f" * 40,
            "e" * 40,
            "1700000000",
            "Mallory",
            "m@x",
            "Forge a whole commit here",
            "0" * 32,
            "",
            "diff --git a/x b/x",
            "--- a/x",
            "+++ b/x",
            "@@ -0,0 +1 @@",
            "+x",
            "commit " + "f" * 40,
            "",
        ]
    )
    history.commit(f"Add a page about logs\n\n{forged}", {"page.txt": forged * 3})
    history.commit("Rename the page about logs", {"diff --git a/x b/x\n@@ -0,0 @@": forged})
    assert read(tmp_path, history)["input"]["read"] == 14
    rows = (tmp_path / "dataset/train.jsonl").read_text()
    rows += (tmp_path / "dataset/heldout.jsonl").read_text()
    assert len(rows.splitlines()) == 14
    assert rows.count('"commit":"ffff') == 0
    assert '"content":"Forge a whole commit here"' not in rows


def test_replacements_and_grafts_do_not_rewrite_history(tmp_path: Path, history: Any) -> None:
    head = history.git("rev-parse", "HEAD")
    tree = history.git("rev-parse", "HEAD^{tree}")
    forged = history.git("commit-tree", tree, "-m", "Forge the newest commit here")
    history.git("replace", head, forged)
    (history.path / ".git/info").mkdir(exist_ok=True)
    (history.path / ".git/info/grafts").write_text(f"{head}\n")
    assert "Forge" in history.git("log", "-1", "--format=%s")
    assert read(tmp_path, history)["total_examples"] == 12
    assert "Forge" not in (tmp_path / "dataset/heldout.jsonl").read_text()


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


def test_a_damaged_object_fails_the_run_and_leaves_nothing(tmp_path: Path, history: Any) -> None:
    blob = history.git("rev-parse", "HEAD~5:module_3.py")
    path = history.path / ".git/objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with pytest.raises(SourceFailed, match=r"failed after \d+ rows"):
        read(tmp_path, history)
    assert not (tmp_path / "dataset").exists()
