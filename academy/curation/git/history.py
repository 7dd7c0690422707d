"""Streaming ``git log -p``: one process, flat memory, and a separator that nobody can forge."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cached_property

from academy.curation.errors import SourceFailed
from academy.curation.git.process import git_output
from academy.curation.git.shadow import Shadow

#: A commit with more text than this is no example; the rest of it is skipped unread.
COMMIT_BYTES = 200_000

FLAGS: tuple[str, ...] = (
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-show-signature",
    "--no-notes",
    "--no-decorate",
    "--no-mailmap",
    "--encoding=UTF-8",
    "--diff-merges=off",
    "--submodule=short",
    "--find-renames",
    "-l200",
    "--full-index",
    "--unified=3",
    "--diff-algorithm=myers",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--no-indent-heuristic",
    "--patch",
)


@dataclass(frozen=True)
class Commit:
    """One commit as git printed it. `time` is the committer's, in seconds since 1970.

    `diff` is what ``git log -p`` printed, cut after `COMMIT_BYTES` where `truncated` says so.
    """

    id: str
    parents: tuple[str, ...]
    time: int
    author_name: str
    author_email: str
    message: str
    diff: bytes
    truncated: bool
    boundary: bool

    @cached_property
    def subject(self) -> str:
        """The first paragraph of the message as one line, as git's ``%s`` has it."""
        paragraph: list[str] = []
        for line in self.message.split("\n"):
            if line.strip():
                paragraph.append(line.rstrip())
            elif paragraph:
                break
        return " ".join(paragraph).strip()


def read_commits(
    shadow: Shadow, tick: Callable[[], None], only: Sequence[str] | None = None
) -> Generator[Commit, None, None]:
    """Yield the commits reachable from HEAD, newest first, as git orders them.

    With `only`, those commits alone, in the order given. `tick` is called at least every 0.2 s and
    may raise to stop. Whatever ends the reading, git is killed with it. Raises `SourceFailed` when
    git fails, hangs or meets a damaged object.
    """
    if shadow.head is None or (only is not None and not only):
        return
    token = secrets.token_hex(16).encode()
    arguments = log_arguments(shadow.head if only is None else None, token)
    count = 0
    with _failures(shadow, lambda: count), ExitStack() as stack:
        stdin = None
        if only is not None:
            stdin = stack.enter_context(tempfile.TemporaryFile(dir=shadow.folder))
            stdin.write("".join(f"{each}\n" for each in only).encode())
            stdin.seek(0)
        chunks = stack.enter_context(closing(git_output(shadow, arguments, tick, stdin)))
        for record, truncated in split_records(chunks, token, COMMIT_BYTES):
            commit = parse_record(record, token, truncated, shadow.repository.shallow)
            if commit is None:
                raise OSError("git printed something that is no commit")
            yield commit
            count += 1


def list_commits(shadow: Shadow, tick: Callable[[], None]) -> Generator[str, None, None]:
    """Yield the ids of the commits reachable from HEAD in the order of `read_commits`."""
    if shadow.head is None:
        return
    count, rest = 0, b""
    arguments = ["rev-list", "--end-of-options", shadow.head, "--"]
    with (
        _failures(shadow, lambda: count),
        closing(git_output(shadow, arguments, tick)) as chunks,
    ):
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode("ascii")
                count += 1


@contextmanager
def _failures(shadow: Shadow, count: Callable[[], int]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        source = f"git:{shadow.repository.name}"
        why = str(error).strip().partition("\n")[0][:300]
        raise SourceFailed(source=source, rows_read=count(), why=why) from error


def log_arguments(head: str | None, token: bytes) -> list[str]:
    """The arguments of ``git log`` for what `head` reaches; None: for the ids on its input."""
    mark = token.decode()
    form = f"--format=tformat:{mark}%n%H%n%P%n%ct%n%an%n%ae%n%B%n{mark}"
    if head is None:
        return ["log", *FLAGS, form, "--no-walk=unsorted", "--stdin"]
    return ["log", *FLAGS, form, "--end-of-options", head, "--"]


def split_records(
    chunks: Iterator[bytes], token: bytes, limit: int
) -> Iterator[tuple[bytes, bool]]:
    """Cut a stream into what lies from one record's mark to the next; (bytes, cut at `limit`?).

    A record holds the token twice: before the header, where it is cut off here, and after the
    message.
    """
    mark = token + b"\n"
    buffer = bytearray()
    kept: bytes | None = None  # the head of a record that outgrew the limit
    marks = 0  # marks of the present record that have been passed
    searched = 0
    for chunk in chunks:
        buffer += chunk
        while True:
            at = buffer.find(mark, searched)
            if at < 0:
                break
            if marks == 0:  # the very first mark
                del buffer[: at + len(mark)]
                marks = 1
                continue
            if marks == 1:  # the end of a message
                marks = 2
                searched = at + len(mark)
                continue
            whole = kept if kept is not None else bytes(buffer[: min(at, limit)])
            yield whole, kept is not None or at > limit
            del buffer[: at + len(mark)]
            # The mark just passed opens the next record; its own text begins after it.
            kept, marks, searched = None, 1, 0
        searched = max(searched, len(buffer) - len(mark) + 1, 0)
        if len(buffer) > limit + len(mark):
            if kept is None:
                kept = bytes(buffer[:limit])
            dropped = len(buffer) - len(mark)
            del buffer[:dropped]
            searched = max(0, searched - dropped)
    if marks:
        yield kept if kept is not None else bytes(buffer), kept is not None


def parse_record(
    record: bytes, token: bytes, truncated: bool, shallow: frozenset[str]
) -> Commit | None:
    """One commit from the text between two marks; None if it is not of that shape."""
    parts = record.split(b"\n", 5)
    if len(parts) < 6 or not parts[2].lstrip(b"-").isdigit():
        return None
    oid, parents, when, name, email, rest = parts
    message, _, diff = rest.partition(token + b"\n")
    text = message.decode("utf-8", "replace")
    commit_id = oid.decode("ascii", "replace")
    return Commit(
        id=commit_id,
        parents=tuple(parents.decode("ascii", "replace").split()),
        time=int(when),
        author_name=name.decode("utf-8", "replace"),
        author_email=email.decode("utf-8", "replace"),
        message=text.strip(),
        diff=diff.lstrip(b"\n"),
        truncated=truncated,
        boundary=commit_id in shallow,
    )
