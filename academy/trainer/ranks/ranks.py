"""The processes that train one adapter together, and what they tell each other.

Each holds the same adapter and takes its share of every step's rows. Gradients are added up before
the optimizer steps, so the adapters stay the same without ever being sent. This is done by hand and
not by ``DistributedDataParallel``, which wants as many batches from each process: here a step is
cut by tokens, and a process may have none. An adapter's gradients are a few megabytes, so there is
little to gain from sending them while others are still being computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed import FileStore, TCPStore  # type: ignore[attr-defined]  # not in __all__

from academy.errors import AcademyError

#: A rank may write a checkpoint or load a model while the others wait for it.
_PATIENCE = timedelta(minutes=30)


class RankLost(AcademyError):
    """Another process of this training has ended: {why}."""

    code = "trainer_crashed"
    next_step = "The job goes on from its last checkpoint; its log names the process that ended."


@dataclass(frozen=True)
class Ranks:
    """This process, number `rank` of `size`. With one process every method is the identity.

    In `lockstep` all of them run the model the same number of times, because parts of it come from
    each other.
    """

    rank: int = 0
    size: int = 1
    lockstep: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums of numbers over all processes; raises `RankLost`."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        with _naming_loss():
            distributed.all_reduce(total)
        return [float(each) for each in total]

    def sum_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Give every weight the sum of its gradients over all processes; raises `RankLost`."""
        if self.size == 1:
            return
        weights = list(weights)
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        flat = torch.cat([each.flatten() for each in gradients])
        with _naming_loss():
            distributed.all_reduce(flat)
        parts = torch.split(flat, [weight.numel() for weight in weights])
        for weight, part in zip(weights, parts, strict=True):
            weight.grad = part.view_as(weight)

    def gather(self, value: Any) -> list[Any]:
        """What each process passed in, by rank; raises `RankLost`."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with _naming_loss():
            distributed.all_gather_object(values, value)
        return values


@contextmanager
def joined(
    rank: int,
    size: int,
    rendezvous: str,
    device: str,
    lockstep: bool,
    listen_fd: int | None = None,
) -> Iterator[Ranks]:
    """Meet the other processes at `rendezvous`, a ``file://`` or ``tcp://`` address.

    With `listen_fd` this is the process that the others report to at that open socket. Raises
    `RankLost` if they do not come.
    """
    if size == 1:
        yield Ranks()
        return
    if device == "cuda":
        torch.cuda.set_device(rank % torch.cuda.device_count())
    with _naming_loss():
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
            store=_store(rendezvous, size, listen_fd),
            rank=rank,
            world_size=size,
            timeout=_PATIENCE,
        )
    try:
        yield Ranks(rank, size, lockstep)
    finally:
        distributed.destroy_process_group()


def _store(rendezvous: str, size: int, listen_fd: int | None) -> FileStore | TCPStore:
    """What the processes find each other through."""
    kind, _, place = rendezvous.partition("://")
    if kind == "file":
        return FileStore(place, size)
    address, _, port = place.rpartition(":")
    return TCPStore(
        address,
        int(port),
        size,
        is_master=listen_fd is not None,
        timeout=_PATIENCE,
        wait_for_workers=False,
        master_listen_fd=listen_fd,
    )


@contextmanager
def _naming_loss() -> Iterator[None]:
    """Torch raises a plain RuntimeError when a peer goes away or does not come in time."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost(why=str(error).strip().partition("\n")[0][:300]) from error
