"""What a path is: a repository that may be read, or a reason to refuse it.

Nothing of the repository is executed here, and no git process runs in it. Its ``config`` can name
programs to run (textconv, gpg.program, core.sshCommand, core.fsmonitor), its links can lead out of
the allowed roots, and its special files can block a reader, so every file is looked at before it
is opened. GitPython recognises the layout and parses the configuration.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from academy.curation.git.objects import object_stores
from academy.curation.git.reftable import find_ref
from academy.errors import RepositoryRefused

_REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*::?(//|$)|^[^/\s]+@[^/\s]+:|^[A-Za-z0-9.-]+:[^/\\]")
_OBJECT_ID = re.compile(r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")
_REF_NAME = re.compile(r"^refs(?:/(?!\.)[^\x00-\x20~^:?*\[\\\x7f/]+)+$")
_CONFIG_LIMIT = 1 << 20
_PACKED_REFS_LIMIT = 64 << 20
_KNOWN_EXTENSIONS = frozenset(
    {
        "noop",
        "objectformat",
        "refstorage",
        "worktreeconfig",
        "partialclone",
        "preciousobjects",
        "relativeworktrees",
    }
)


@dataclass(frozen=True)
class Repository:
    """A repository that may be read.

    `head` is the id of the commit that HEAD names, or None where there is no commit yet. `shallow`
    holds the ids at which a shallow clone was cut.
    """

    name: str
    path: Path
    git_dir: Path
    object_stores: tuple[Path, ...]
    object_format: str
    head: str | None
    shallow: frozenset[str]


def inspect(path: str, allowed_roots: Sequence[Path]) -> Repository:
    """Say what lies at `path`, without running anything of it.

    Work trees, bare repositories, linked worktrees, submodules and shallow clones are read, with
    SHA-1 or SHA-256 ids. Raises `RepositoryRefused` with the reason otherwise.
    """
    return _Inspection(path, allowed_roots).run()


def is_repository(path: Path) -> bool:
    """Whether `path` looks like the top of a repository; reads nothing but names."""
    return (path / ".git").exists() or all(
        (path / name).exists() for name in ("HEAD", "objects", "refs")
    )


def is_remote(path: str) -> bool:
    """Whether `path` has the shape of a remote address, good or bad, and is no local path."""
    return _REMOTE.match(path) is not None


class _Inspection:
    """One look at one path; every refusal names that path."""

    def __init__(self, path: str, allowed_roots: Sequence[Path]) -> None:
        self.asked = path
        self.roots = tuple(Path(os.path.realpath(root)) for root in allowed_roots)
        self.in_tables = False

    def run(self) -> Repository:
        top = self._top()
        git_dir = self._git_dir(top)
        common = self._common_dir(git_dir)
        self._recognise(git_dir)
        extensions = self._extensions(common)
        object_format = extensions.get("objectformat", "sha1").lower()
        if object_format not in ("sha1", "sha256"):
            raise self.refuse(f"its object format {object_format!r} is unknown")
        ref_storage = extensions.get("refstorage", "files").lower()
        if ref_storage not in ("files", "reftable"):
            raise self.refuse(f"its ref storage {ref_storage!r} is unknown")
        self.in_tables = ref_storage == "reftable"
        return Repository(
            name=_name(top, common),
            path=top,
            git_dir=git_dir,
            object_stores=object_stores(common / "objects", self.confined, self.refuse),
            object_format=object_format,
            head=self._head(git_dir, common, object_format),
            shallow=self._shallow(common),
        )

    def refuse(self, why: str) -> RepositoryRefused:
        return RepositoryRefused(path=self.asked, why=why)

    def confined(self, path: Path, what: str) -> Path:
        """The real place of `path`, which must lie inside an allowed root."""
        try:
            real = Path(os.path.realpath(path, strict=True))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise self.refuse(f"{what} cannot be reached ({why})") from None
        if not any(real.is_relative_to(root) for root in self.roots):
            roots = ", ".join(map(str, self.roots)) or "none"
            raise self.refuse(f"{what} lies outside the allowed roots ({roots})")
        return real

    def read(self, path: Path, what: str, limit: int) -> bytes | None:
        """The content of a regular file inside the roots, or None where there is none."""
        if not os.path.lexists(path):
            return None
        real = self.confined(path, what)
        try:
            # O_NONBLOCK: opening a named pipe that someone put there must not hang.
            handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self.refuse(f"{what} cannot be read ({error.strerror})") from None
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            raise self.refuse(f"{what} is no regular file")
        with os.fdopen(handle, "rb") as stream:
            if status.st_size > limit:
                raise self.refuse(f"{what} has {status.st_size} bytes; at most {limit} are read")
            return stream.read(limit)

    def _top(self) -> Path:
        if not self.asked.strip() or "\0" in self.asked or "\n" in self.asked:
            raise self.refuse("that is no path")
        if is_remote(self.asked):
            why = "it is a remote address; they are read only with ACADEMY_ALLOW_GIT_REMOTES=1"
            raise self.refuse(why)
        top = self.confined(Path(self.asked), "it")
        if not top.is_dir():
            raise self.refuse("it is no folder")
        if "\n" in str(top):
            raise self.refuse("its path holds a line break")
        return top

    def _git_dir(self, top: Path) -> Path:
        dot_git = top / ".git"
        if not os.path.lexists(dot_git):
            return top
        real = self.confined(dot_git, "its .git")
        if real.is_dir():
            return real
        content = self.read(dot_git, "its .git file", 1 << 16) or b""
        if not content.startswith(b"gitdir: "):
            raise self.refuse("its .git file names no gitdir")
        target = os.fsdecode(content[len(b"gitdir: ") :]).rstrip("\r\n")
        return self.confined(top / target, "the gitdir that its .git file names")

    def _common_dir(self, git_dir: Path) -> Path:
        content = self.read(git_dir / "commondir", "its commondir file", 1 << 16)
        if content is None:
            return git_dir
        target = os.fsdecode(content).rstrip("\r\n")
        return self.confined(git_dir / target, "the common folder that its commondir file names")

    def _recognise(self, git_dir: Path) -> None:
        # Read first, because GitPython would open a named pipe and wait for ever.
        if not os.path.islink(git_dir / "HEAD"):
            self.read(git_dir / "HEAD", "its HEAD", 1 << 16)
        from git.exc import GitError
        from git.repo.fun import is_git_dir

        try:
            recognised = is_git_dir(git_dir)
        except GitError:
            recognised = False
        if not recognised:
            raise self.refuse("it is no git repository (HEAD, objects and refs are not all there)")

    def _extensions(self, common: Path) -> dict[str, str]:
        """The ``extensions`` section, which decides how the files are to be read.

        Includes are not followed: they could name any file of this machine.
        """
        from configparser import Error as ConfigError

        from git.config import GitConfigParser

        content = self.read(common / "config", "its config", _CONFIG_LIMIT) or b""
        try:
            stream = BytesIO(content)
            stream.name = "config"  # GitPython puts the name into its messages
            parser = GitConfigParser(stream, read_only=True, merge_includes=False)
            parser.read()
            found = (
                {key.lower(): str(value) for key, value in parser.items("extensions")}
                if parser.has_section("extensions")
                else {}
            )
        except (ConfigError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise self.refuse(f"its config cannot be parsed ({type(error).__name__})") from None
        unknown = sorted(set(found) - _KNOWN_EXTENSIONS)
        if unknown:
            raise self.refuse(f"it uses the unknown extension {unknown[0]!r}")
        return found

    def _head(self, git_dir: Path, common: Path, object_format: str) -> str | None:
        """Follow HEAD by hand, as refs can be links and their names can look like options."""
        name = "HEAD"
        for _ in range(5):  # git's own limit for a chain of symbolic refs
            value = self._ref(git_dir, common, name, 20 if object_format == "sha1" else 32)
            if value is None:
                return None
            if _OBJECT_ID.match(value):
                if len(value) != (40 if object_format == "sha1" else 64):
                    raise self.refuse(f"{name} does not hold a {object_format} id")
                return value
            if not value.startswith("ref:"):
                raise self.refuse(f"{name} holds neither an id nor a ref")
            name = value.removeprefix("ref:").strip()
            if not _REF_NAME.match(name) or ".." in name or name.endswith(".lock"):
                raise self.refuse(f"HEAD leads to {name[:80]!r}, which is no valid ref name")
        raise self.refuse("HEAD leads through more than five symbolic refs")

    def _ref(self, git_dir: Path, common: Path, name: str, id_bytes: int) -> str | None:
        own = name == "HEAD" or name.startswith(
            ("refs/bisect/", "refs/worktree/", "refs/rewritten/")
        )
        if self.in_tables:
            tables = (git_dir if own else common) / "reftable"
            return find_ref(tables, name, id_bytes, self.read, self.refuse)
        path = (git_dir if own else common) / name
        if name == "HEAD" and path.is_symlink():
            # Git before 1.5.6 made HEAD a link: its text names the ref, and nobody follows it.
            return f"ref: {os.readlink(path)}"
        if path.is_symlink() or (name != "HEAD" and os.path.realpath(path) != str(path)):
            raise self.refuse(f"{name} is reached through a link")
        content = None if path.is_dir() else self.read(path, name, 1 << 16)
        if content is not None:
            return os.fsdecode(content).strip()
        return self._packed_ref(common, name)

    def _packed_ref(self, common: Path, name: str) -> str | None:
        content = self.read(common / "packed-refs", "its packed-refs", _PACKED_REFS_LIMIT) or b""
        # git quotes nothing here: an id, one blank, the name, the end of the line.
        found = re.search(
            rb"^([0-9a-f]{40,64}) " + re.escape(os.fsencode(name)) + rb"\r?$", content, re.MULTILINE
        )
        return found.group(1).decode() if found else None

    def _shallow(self, common: Path) -> frozenset[str]:
        content = self.read(common / "shallow", "its shallow file", 16 << 20) or b""
        ids = os.fsdecode(content).split()
        if not all(_OBJECT_ID.match(each) for each in ids):
            raise self.refuse("its shallow file holds something other than ids")
        return frozenset(ids)


def _name(top: Path, common: Path) -> str:
    """The folder's name without ``.git``, as GitPython and ``git clone`` name a repository."""
    folder = top.parent if top.name == ".git" else top
    return folder.name.removesuffix(".git") or common.name
