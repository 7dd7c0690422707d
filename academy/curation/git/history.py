"""Streaming ``git log -p``: one process, flat memory, and a separator that nobody can forge."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from academy.curation.errors import SourceFailed
from academy.curation.git.shadow import Shadow
from academy.processes import end_group, spawn

#: A commit with more text than this is no example; the rest of it is skipped unread.
COMMIT_BYTES = 200_000
#: Git stays silent this long only if it hangs (a dead network file system, an endless delta).
SILENCE_SECONDS = 120.0
#: The longest time for one repository; a million commits take a fraction of it.
TOTAL_SECONDS = 4 * 3600.0
_WAIT_SECONDS = 0.2
_CHUNK = 1 << 20
_GIT_BYTES = 1 << 30
_STDERR_BYTES = 4096
_F_SETPIPE_SZ = 1031  # fcntl(2), Linux: a larger pipe saves git most of its waits

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

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0].strip()


def read_commits(shadow: Shadow, tick: Callable[[], None]) -> Iterator[Commit]:
    """Yield the commits reachable from HEAD, newest first, as git orders them.

    `tick` is called at least every 0.2 s and may raise to stop. Whatever ends the reading, git is
    killed with it. Raises `SourceFailed` when git fails, hangs or meets a damaged object.
    """
    if shadow.head is None:
        return
    token = secrets.token_hex(16).encode()
    process = _start(shadow, token)
    complaints = bytearray()
    count = 0
    try:
        chunks = _chunks(process, complaints, tick)
        for record, truncated in split_records(chunks, token, COMMIT_BYTES):
            commit = parse_record(record, token, truncated, shadow.repository.shallow)
            if commit is None:
                raise OSError("git printed something that is no commit")
            yield commit
            count += 1
        status = process.wait(timeout=SILENCE_SECONDS)
        if status != 0:
            raise OSError(complaints.decode("utf-8", "replace").strip() or f"git exited {status}")
    except (OSError, subprocess.TimeoutExpired) as error:
        name = shadow.repository.name
        raise SourceFailed(source=f"git:{name}", rows_read=count, why=_first_line(error)) from error
    finally:
        end_group(process, 0)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def log_arguments(head: str, token: bytes) -> list[str]:
    """The arguments of ``git log`` for the commits reachable from `head`."""
    mark = token.decode()
    form = f"--format=tformat:{mark}%n%H%n%P%n%ct%n%an%n%ae%n%B%n{mark}"
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


def _start(shadow: Shadow, token: bytes) -> subprocess.Popen[bytes]:
    assert shadow.head is not None
    process = spawn(
        shadow.command(*log_arguments(shadow.head, token)),
        env=shadow.environ(),
        cwd=shadow.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if sys.platform == "linux":
        _bound(process)
    return process


def _bound(process: subprocess.Popen[bytes]) -> None:
    """Whatever an object unpacks to: git gets 1 GiB of its own memory and writes no file at all."""
    import resource

    assert process.stdout is not None
    with contextlib.suppress(ProcessLookupError):  # it has failed already, and will be heard
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (_GIT_BYTES, _GIT_BYTES))
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError):  # refused where the user's pipe quota is used up
        fcntl.fcntl(process.stdout, _F_SETPIPE_SZ, _CHUNK)


def _chunks(
    process: subprocess.Popen[bytes], complaints: bytearray, tick: Callable[[], None]
) -> Iterator[bytes]:
    """What git prints, as it comes; its last complaints are kept aside."""
    assert process.stdout is not None and process.stderr is not None
    out, err = process.stdout, process.stderr
    began = heard = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(out, selectors.EVENT_READ)
        selector.register(err, selectors.EVENT_READ)
        while selector.get_map():
            tick()
            ready = selector.select(_WAIT_SECONDS)
            now = time.monotonic()
            if now - began > TOTAL_SECONDS or (not ready and now - heard > SILENCE_SECONDS):
                raise OSError(f"git took too long ({now - began:.0f} s)")
            for key, _ in ready:
                heard = now
                stream: IO[bytes] = key.fileobj  # type: ignore[assignment]  # registered above
                data = os.read(stream.fileno(), _CHUNK)
                if not data:
                    selector.unregister(stream)
                elif stream is out:
                    yield data
                else:
                    complaints += data
                    del complaints[:-_STDERR_BYTES]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]
