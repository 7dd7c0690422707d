"""What CONTRIBUTING.md tells to do, done on a copy of the tree.

A fenced block says what it is by the words behind its fence: ``LANGUAGE PATH`` is a new file,
``diff PATH`` a change of one without line numbers, and ``console`` holds commands behind ``$``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Tree:
    """A copy of the checkout that nothing else uses."""

    folder: Path

    def follow(self, title: str) -> list[str]:
        """Take the steps of a section of CONTRIBUTING.md; what its commands printed."""
        text = (self.folder / "CONTRIBUTING.md").read_text(encoding="utf-8")
        sections = dict(part.split("\n", 1) for part in re.split(r"^## ", text, flags=re.M)[1:])
        printed = []
        for kind, path, body in _FENCE.findall(sections[title]):
            if kind == "console":
                printed += [self.run(*shlex.split(line[2:])) for line in body.splitlines()]
            elif kind == "diff":
                self._change(path, body)
            else:
                file = self.folder / path
                assert not file.exists(), f"{path} is there already"
                file.write_text(body, encoding="utf-8")
        return printed

    def run(self, *command: str, env: dict[str, str] | None = None) -> str:
        """What a command prints that runs in the copy, with the copy's own packages."""
        words = [sys.executable if each == ".venv/bin/python" else each for each in command]
        # A pytest in there is no part of the one that runs this.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**inherited, **(env or {}), "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _change(self, path: str, change: str) -> None:
        lines = change.splitlines()
        assert all(line[:1] in {"", " ", "+", "-"} for line in lines), f"{path}: {change}"
        before = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
        after = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        # Lines are whole lines, so that a part of a line is none of them.
        found = f"\n{text}".count(f"\n{before}")
        assert found == 1, f"{path} has these lines {found} times:\n{before}"
        file.write_text(f"\n{text}".replace(f"\n{before}", f"\n{after}")[1:], encoding="utf-8")


def copied(repository: Path, folder: Path) -> Tree:
    """A copy of all files that git tracks, or would."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=repository, capture_output=True, check=True, timeout=60)
    for name in filter(None, names.stdout.decode().split("\0")):
        source = repository / name
        if source.is_file():  # one that was removed is still listed until the commit
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
    return Tree(folder)
