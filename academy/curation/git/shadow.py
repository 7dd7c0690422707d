"""The bare repository of our own in which git runs.

It borrows the target's objects through ``objects/info/alternates`` and has nothing else of it: no
config, no refs, no hooks, no attributes, no worktree. So nothing in the target can name a program,
a remote or an option (see `academy.curation.git.repository`).
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from academy.curation.git.repository import Repository
from academy.errors import Unavailable

_GIT_SECONDS = 60

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
        is_sha1 = repository.object_format == "sha1"
        config = f"[core]\n\trepositoryFormatVersion = {int(not is_sha1)}\n\tbare = true\n"
        if not is_sha1:
            config += f"[extensions]\n\tobjectFormat = {repository.object_format}\n"
        for name in ("objects/info", "objects/pack", "refs/heads"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "config").write_text(config)
        (self.folder / "HEAD").write_text("ref: refs/heads/none\n")
        alternates = "".join(f"{store}\n" for store in repository.object_stores)
        (self.folder / "objects/info/alternates").write_bytes(os.fsencode(alternates))
        if repository.shallow:
            (self.folder / "shallow").write_text(
                "".join(f"{i}\n" for i in sorted(repository.shallow))
            )


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
