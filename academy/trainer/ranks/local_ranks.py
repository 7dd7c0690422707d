"""One training in several processes: starting them, and ending all when one ends badly."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from academy.errors import AcademyError
from academy.host.processes import spawn
from academy.trainer.folders import make_folder
from academy.trainer.ranks.rendezvous import Rendezvous, rendezvous_of
from academy.trainer.report import Report
from academy.trainer.spec import Spec
from academy.trainer.stop import StopRequest

#: The trainer's exit statuses. `LOST_A_RANK` is between these processes and never the trainer's.
DONE, OTHER, BAD_SPEC, CANCELLED, OUT_OF_MEMORY, LOST_A_RANK = 0, 1, 2, 3, 4, 5

#: How long the others may take to notice that one has ended, before they are ended.
_GRACE_SECONDS = 20.0
#: How long the first process may take for its checkpoint after a stop request.
_STOP_SECONDS = 600.0
_POLL_SECONDS = 0.05


class RankDied(AcademyError):
    """Process {rank} of the {size} that train together {how}."""

    code = "trainer_crashed"
    next_step = "The job goes on from its last checkpoint; the log above names what happened."


class HostsLost(AcademyError):
    """Process {rank} of the {size} that train together lost those of the other hosts."""

    code = "worker_lost"
    next_step = "The job goes on from its last checkpoint; look into the other hosts' logs."


def train_in_ranks(spec: Spec, path: Path, out: Path, report: Report, stop: StopRequest) -> int:
    """Run this host's share of the processes; the exit status for all of them.

    The very first one writes events and files; the others speak only to say why they end. `path` is
    where the spec lies. All of them end when this process does. Raises `BadSpec`.
    """
    make_folder(out)
    gpus = spec.recipe.gpus
    first = spec.gang.place * gpus if spec.gang else 0
    with rendezvous_of(spec.gang, out, report) as rendezvous:
        share = _share_of_memory(gpus)
        command = (sys.executable, "-m", "academy.trainer", str(path), "--out", str(out))
        ranks = [_Rank(first + each, command, rendezvous, report, share) for each in range(gpus)]
        if rendezvous.listener is not None:
            rendezvous.listener.close()  # so that it ends with the process that has it now
        try:
            return _until_over(ranks, spec.recipe.processes, report, stop)
        finally:
            for rank in ranks:
                rank.end()


def _share_of_memory(size: int) -> int | None:
    """What each process may hold of what this one may: the kernel counts them one by one."""
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return None if limit == resource.RLIM_INFINITY else limit // size


class _Rank:
    """One of the processes; the report is passed on as far as it is the first one's."""

    def __init__(
        self,
        number: int,
        command: Sequence[str],
        rendezvous: Rendezvous,
        report: Report,
        share_bytes: int | None,
    ) -> None:
        self.number = number
        self.last_line: str | None = None
        self._report = report
        arguments = ["--lifeline", f"--rank={number}", f"--rendezvous={rendezvous.url}"]
        sockets = [rendezvous.listener.fileno()] if rendezvous.listener and number == 0 else []
        self._process = spawn(
            [*command, *arguments, *(f"--listen-fd={each}" for each in sockets)],
            env=rendezvous.environment,
            stdin=subprocess.PIPE,  # ends when this process does, whatever ends it
            stdout=subprocess.PIPE,
            own_group=False,  # so that whoever limits or ends this trainer reaches all of it
            data_bytes=share_bytes,
            pass_fds=sockets,
        )
        self._reader = threading.Thread(target=self._read, name=f"rank-{number}", daemon=True)
        self._reader.start()

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs or while something that it said is not passed on."""
        return None if self._reader.is_alive() else self._process.poll()

    def ask_to_stop(self) -> None:
        """Pass a stop request on."""
        self._process.terminate()

    def end(self) -> None:
        """End it for certain."""
        self._process.kill()
        self._process.wait(timeout=30)
        self._reader.join(timeout=5)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.last_line = line.decode("utf-8", "replace")
            if self.number == 0:
                self._report.relay(self.last_line)


def _until_over(ranks: list[_Rank], size: int, report: Report, stop: StopRequest) -> int:
    asked = False
    while True:
        if stop.requested and not asked:
            asked = True
            for rank in ranks:
                rank.ask_to_stop()
        statuses = [rank.status for rank in ranks]
        if all(status == DONE for status in statuses):
            return DONE
        ended = [rank for rank in ranks if rank.status not in (None, DONE)]
        if ended:
            break
        time.sleep(_POLL_SECONDS)
    # A process that stops as asked waits for the first one, which writes the checkpoint.
    first_to_end = next((rank for rank in ended if rank.status != LOST_A_RANK), ended[0])
    patience = _STOP_SECONDS if first_to_end.status == CANCELLED else _GRACE_SECONDS
    deadline = time.monotonic() + patience
    while any(rank.status is None for rank in ranks) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return _verdict(ranks, size, first_to_end, report, stop)


def _verdict(
    ranks: list[_Rank], size: int, culprit: _Rank, report: Report, stop: StopRequest
) -> int:
    """The exit status of the whole; says why, unless the very first process has said so."""
    first = ranks[0].status
    if ranks[0].number == 0 and first is not None and first > 0 and first != LOST_A_RANK:
        return first
    ended = [rank for rank in ranks if rank.status not in (None, DONE, LOST_A_RANK)]
    if stop.requested or (ended and all(rank.status == CANCELLED for rank in ended)):
        return CANCELLED  # the first process wrote a checkpoint; or the last one is whole
    culprit = culprit if culprit in ended or not ended else ended[0]
    status = culprit.status or OTHER
    if status > 0 and status != LOST_A_RANK and culprit.last_line is not None:
        report.relay(culprit.last_line)
        return status
    if status < 0:
        how = f"was ended by {signal.Signals(-status).name}"
    elif status != LOST_A_RANK:
        how = f"ended with status {status}"
    elif len(ranks) < size:
        report.error(HostsLost(rank=culprit.number, size=size))
        return OTHER
    else:
        how = "could not reach the others"
    report.error(RankDied(rank=culprit.number, size=size, how=how))
    return OTHER
