"""The latest, best and average figures of a training, kept with the job's row."""

from __future__ import annotations

from typing import Any


class ProgressFigures:
    """Folds the trainer's ``metrics`` and ``stage`` messages into one small document."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._latest: dict[str, Any] = {}
        self._best: float | None = None
        self._first: float | None = None
        self._sum = 0.0
        self._count = 0

    def add(self, message: dict[str, Any]) -> dict[str, Any]:
        """Take a message in; the document as it is now."""
        if message["type"] == "stage":
            self._stage = message.get("stage")
        elif message["type"] == "metrics":
            loss = message.get("loss")
            if isinstance(loss, int | float):
                self._first = loss if self._first is None else self._first
                self._best = loss if self._best is None else min(self._best, loss)
                self._sum += loss
                self._count += 1
            self._latest = {
                key: value for key, value in message.items() if key not in {"type", "timestamp"}
            }
        return {
            **self._latest,
            "stage": self._stage,
            "first_loss": self._first,
            "best_loss": self._best,
            "average_loss": self._sum / self._count if self._count else None,
        }
