"""The key-value cache of a batch whose rows come and go.

All rows are padded on the left to one length, so that the next token of every row is written to the
same column. A row's positions are counted from its own first token, and its keys are cached after
their rotation, so moving a row to other columns changes nothing that it computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

_SPARE_COLUMNS = 64


@dataclass(frozen=True)
class Part:
    """Rows to take from a cache, and how many columns at the end of each row are its own."""

    cache: Any
    rows: Sequence[int]
    lengths: Sequence[int]


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers publishes no types
    """One layer's keys and values in buffers with room to grow.

    transformers' own layer copies the whole cache for every token (`torch.cat`); this one writes
    the token into place and copies once in a while. `keys` and `values` are views of the buffers,
    shaped ``(rows, heads, columns, head size)``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._buffers: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        used = self.get_seq_length()
        needed = used + key_states.shape[-2]
        if not self._buffers or self._buffers[0].shape[2] < needed:
            fresh = [_room(each, len(each), needed) for each in (key_states, value_states)]
            if used:
                fresh[0][:, :, :used] = self.keys
                fresh[1][:, :, :used] = self.values
            self._buffers = fresh
        self._buffers[0][:, :, used:needed] = key_states
        self._buffers[1][:, :, used:needed] = value_states
        self.adopt(self._buffers, needed)
        return self.keys, self.values

    def adopt(self, buffers: list[torch.Tensor], columns: int) -> None:
        """Use these buffers, of which the first `columns` columns are filled."""
        self._buffers = buffers
        self.keys, self.values = (each[:, :, :columns] for each in buffers)
        self.dtype, self.device = self.keys.dtype, self.keys.device
        self.is_initialized = True


def new_cache() -> Any:
    """An empty cache for any number of layers."""
    return Cache(layer_class_to_replicate=GrowingLayer)


def regroup(parts: Sequence[Part]) -> Any:
    """One cache, as wide as its longest row, with the rows that the parts name, in their order."""
    width = max(length for part in parts for length in part.lengths)
    merged = new_cache()
    for number in range(len(parts[0].cache.layers)):
        layer = GrowingLayer()
        layer.adopt([_stack(parts, number, name, width) for name in ("keys", "values")], width)
        merged.layers.append(layer)
    return merged


def _stack(parts: Sequence[Part], number: int, name: str, width: int) -> torch.Tensor:
    first = getattr(parts[0].cache.layers[number], name)
    stacked = _room(first, sum(len(part.rows) for part in parts), width)
    target = 0
    for part in parts:
        source = getattr(part.cache.layers[number], name)
        for row, length in zip(part.rows, part.lengths, strict=True):
            stacked[target, :, width - length : width] = source[row, :, source.shape[2] - length :]
            target += 1
    return stacked


def _room(like: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    # Zeros rather than uninitialised memory: masked columns are multiplied by zero, and zero times
    # a stray NaN would be NaN.
    spare = max(columns // 4, _SPARE_COLUMNS)
    return like.new_zeros((rows, like.shape[1], columns + spare, like.shape[3]))
