"""Being asked to stop: SIGTERM and SIGINT between two operations."""

from __future__ import annotations

import signal
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes seconds to import, and signals are to be heeded from the start
    import torch
    from torch import nn


class Cancelled(BaseException):
    """The supervisor asked to stop. Not an error, so no ``except Exception`` may catch it."""


class StopRequest:
    """Remembers that a signal came; the work asks at points where stopping is safe.

    A signal handler that raised by itself would do so in any line, even in one whose exceptions
    Python ignores (a finaliser), and the request would be lost.
    """

    def __init__(self) -> None:
        self.requested = False

    def on_signals(self) -> None:
        """From now on SIGTERM and SIGINT are stop requests."""
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGINT, self._note)

    def check(self) -> None:
        """Raise `Cancelled` if a stop was requested."""
        if self.requested:
            raise Cancelled

    def watch(self, model: nn.Module) -> None:
        """Check before and after each layer of `model`, on the way forward and backward.

        One step on a CPU can take a minute; a supervisor kills after some seconds of grace.
        """
        from torch import nn

        layers = max(
            (each for each in model.modules() if isinstance(each, nn.ModuleList)),
            key=len,
            default=nn.ModuleList([model]),
        )
        for layer in layers:
            layer.register_forward_hook(self._around)

    def _around(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        self.check()
        hidden = output[0] if isinstance(output, tuple) else output
        if getattr(hidden, "requires_grad", False):
            hidden.register_hook(self._backward)

    def _backward(self, _gradient: torch.Tensor) -> None:
        self.check()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
