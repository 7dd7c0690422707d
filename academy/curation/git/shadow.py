"""The bare repository of our own in which git runs.

It borrows the target's objects through ``objects/info/alternates`` and has nothing else of it: no
config, no refs, no hooks, no attributes, no worktree. So nothing in the target can name a program,
a remote or an option (see `academy.curation.git.repository`).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

from academy.curation.git.repository import Repository
from academy.errors import RepositoryRefused, Unavailable
from academy.processes import end_group, spawn

_GIT_SECONDS = 60
_REFTABLE_BYTES = 256 << 20
_REFTABLE_NAME = re.compile(r"^0x[0-9a-f]{12,16}-0x[0-9a-f]{12,16}-[0-9a-zA-Z]+\.(?:ref|log)$")

#: Bounds git's private memory to 64 MB, whatever the repository holds, and leaves every file
#: that only speeds git up (and could lie about the history) unread.
GUARDS: tuple[str, ...] = (
    *("-c", "core.deltaBaseCacheLimit=16m"),
    *("-c", "core.packedGitLimit=64m"),
    *("-c", "core.packedGitWindowSize=1m"),
    *("-c", "core.bigFileThreshold=1m"),
    *("-c", "core.commitGraph=false"),
    *("-c", "core.multiPackIndex=false"),
    *("-c", "core.attributesFile=/dev/null"),
    *("-c", "core.excludesFile=/dev/null"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.quotePath=false"),
    *("-c", "protocol.allow=never"),
    *("-c", "log.showSignature=false"),
    *("-c", "diff.external="),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
)


class Shadow:
    """A shadow of one repository, in a folder that the caller removes."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self.repository = repository
        self.folder = folder
        self.head = repository.head
        self._build()
        if repository.ref_storage == "reftable":
            self.head = self._head_of_reftable()

    def command(self, *arguments: str) -> list[str]:
        """A git command line that runs in the shadow and nowhere else."""
        return ["git", "--no-pager", "--no-replace-objects", *GUARDS, *arguments]

    def environ(self) -> dict[str, str]:
        """The whole environment of a git process: nothing of ours but the search path."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder),
            "GIT_DIR": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "SSH_ASKPASS": "/bin/false",
            "GIT_SSH_COMMAND": "/bin/false",
            "GIT_PAGER": "cat",
            "GIT_EDITOR": "/bin/false",
        }

    def _build(self) -> None:
        """Write the few files that make a bare repository; `git init` would read templates."""
        repository = self.repository
        extensions = []
        if repository.object_format != "sha1":
            extensions.append(f"\tobjectFormat = {repository.object_format}\n")
        if repository.ref_storage != "files":
            extensions.append(f"\trefStorage = {repository.ref_storage}\n")
        config = f"[core]\n\trepositoryFormatVersion = {int(bool(extensions))}\n\tbare = true\n"
        if extensions:
            config += "[extensions]\n" + "".join(extensions)
        for name in ("objects/info", "objects/pack", "refs/heads"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "config").write_text(config)
        (self.folder / "HEAD").write_text("ref: refs/heads/.invalid\n")
        if repository.ref_storage == "files":
            (self.folder / "HEAD").write_text("ref: refs/heads/none\n")
        alternates = "".join(f"{store}\n" for store in repository.object_stores)
        (self.folder / "objects/info/alternates").write_bytes(os.fsencode(alternates))
        if repository.shallow:
            (self.folder / "shallow").write_text(
                "".join(f"{i}\n" for i in sorted(repository.shallow))
            )

    def _head_of_reftable(self) -> str | None:
        """Copy the tables, which hold refs and nothing else, and let git read them here."""
        if git_version() < (2, 45):
            found = ".".join(map(str, git_version()))
            raise self._refuse(f"it uses reftable, which needs git 2.45 or newer; this is {found}")
        source, target = self.repository.git_dir / "reftable", self.folder / "reftable"
        target.mkdir()
        copied = 0
        for entry in sorted(os.scandir(source), key=lambda each: each.name):
            if entry.name != "tables.list" and not _REFTABLE_NAME.match(entry.name):
                continue
            status = entry.stat(follow_symlinks=False)
            copied += status.st_size
            if not stat.S_ISREG(status.st_mode) or copied > _REFTABLE_BYTES:
                raise self._refuse(f"its ref table {entry.name!r} is a link or too large")
            shutil.copyfile(entry.path, target / entry.name, follow_symlinks=False)
        answer = self._ask("rev-parse", "--quiet", "--verify", "--end-of-options", "HEAD^{commit}")
        return answer if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", answer) else None

    def _ask(self, *arguments: str) -> str:
        process = spawn(
            self.command(*arguments),
            env=self.environ(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            death_signal=signal.SIGKILL,
        )
        try:
            output, _ = process.communicate(timeout=_GIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._refuse(f"git did not answer within {_GIT_SECONDS} s") from None
        finally:
            end_group(process, 0)
        return output.decode("ascii", "replace").strip()

    def _refuse(self, why: str) -> RepositoryRefused:
        return RepositoryRefused(path=str(self.repository.path), why=why)


def git_version() -> tuple[int, ...]:
    """The version of the git that is used, such as (2, 39, 5); `Unavailable` without one."""
    try:
        answer = subprocess.run(
            ["git", "version"],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(what="git", why=str(error)) from error
    found = re.search(r"(\d+(?:\.\d+)+)", answer.stdout.decode("ascii", "replace"))
    return tuple(int(part) for part in found.group(1).split(".")) if found else (0,)
