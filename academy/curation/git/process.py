"""One git process: its output as it comes, its limits, and its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import IO

from academy.curation.git.shadow import Shadow
from academy.host.processes import end_group, spawn

#: Git stays silent this long only if it hangs (a dead network file system, an endless delta).
SILENCE_SECONDS = 120.0
#: The longest time for one repository; a million commits take a fraction of it.
TOTAL_SECONDS = 4 * 3600.0
_WAIT_SECONDS = 0.2
_CHUNK = 1 << 20
_GIT_BYTES = 1 << 30
_STDERR_BYTES = 4096
_F_SETPIPE_SZ = 1031  # fcntl(2), Linux: a larger pipe saves git most of its waits


def git_output(
    shadow: Shadow,
    arguments: Sequence[str],
    tick: Callable[[], None],
    stdin: IO[bytes] | None = None,
) -> Generator[bytes, None, None]:
    """Run git in the shadow and yield what it prints, in chunks of at most 1 MiB.

    `tick` is called at least every 0.2 s. Raises `OSError` with git's own words when it fails, and
    when it takes too long. Closing the generator kills git.
    """
    process = spawn(
        shadow.command(*arguments),
        env=shadow.environ(),
        cwd=shadow.folder,
        stdin=stdin if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    complaints = bytearray()
    try:
        if sys.platform == "linux":
            _bound(process)
        yield from _chunks(process, complaints, tick)
        try:
            status = process.wait(timeout=SILENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise OSError("git did not end") from None
        if status != 0:
            raise OSError(complaints.decode("utf-8", "replace").strip() or f"git exited {status}")
    finally:
        end_group(process, 0)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


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
