"""One fixture for each way in which a repository can run code, write files or forge history.

Where git itself falls for a trap, the test shows that it does: a trap that would not work
anyway proves nothing.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from academy.curation.errors import SourceFailed
from tests.integration.curation.hostile import read, sprung


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


def test_a_damaged_object_fails_the_run_and_leaves_nothing(tmp_path: Path, history: Any) -> None:
    blob = history.git("rev-parse", "HEAD~5:module_3.py")
    path = history.path / ".git/objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with pytest.raises(SourceFailed, match=r"failed after \d+ rows"):
        read(tmp_path, history)
    assert not (tmp_path / "dataset").exists()
