"""How large a base model is, from its files' headers: no weights are read, no library is needed.

A safetensors file begins with the length of its header (8 bytes, little endian) and the header,
JSON with each tensor's shape (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from academy.errors import BaseModelUnavailable

#: A header longer than this is none; the format's own limit.
_LONGEST_HEADER = 100_000_000
_TABLES = ("embed", "wte", "wpe", "lm_head", "output.weight")


@dataclass(frozen=True)
class ModelShape:
    """A causal language model's sizes."""

    parameters: int
    #: The linear layers that an adapter can sit on: (name, inputs, outputs).
    linears: tuple[tuple[str, int, int], ...]
    layers: int
    hidden: int
    vocabulary: int
    #: The longest row that the model reads, in tokens; None if its configuration does not say.
    longest: int | None

    def adapted(
        self, targets: Literal["all-linear"] | Sequence[str]
    ) -> tuple[tuple[str, int, int], ...]:
        """The layers that get an adapter, chosen as PEFT does: all, or by the end of their name."""
        if targets == "all-linear":
            return self.linears
        return tuple(
            each
            for each in self.linears
            if any(each[0] == name or each[0].endswith(f".{name}") for name in targets)
        )


def read_shape(folder: Path) -> ModelShape:
    """The shape of the model in `folder`; raises `BaseModelUnavailable` if it cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_text())
        tensors = [each for file in sorted(folder.glob("*.safetensors")) for each in _tensors(file)]
        if not tensors:
            raise ValueError("it has no safetensors weights")
        return _shape(config.get("text_config", config), tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaseModelUnavailable(
            name=folder.name, looked_in=f"{folder}, which cannot be read ({error})"
        ) from error


def _shape(config: dict[str, Any], tensors: list[tuple[str, list[int]]]) -> ModelShape:
    linears = tuple(
        (name.removesuffix(".weight"), shape[1], shape[0])
        for name, shape in tensors
        if len(shape) == 2
        and name.endswith(".weight")
        and not any(table in name for table in _TABLES)
    )
    return ModelShape(
        parameters=sum(math.prod(shape) for _, shape in tensors),
        linears=linears,
        layers=int(config.get("num_hidden_layers") or config["n_layer"]),
        hidden=int(config.get("hidden_size") or config["n_embd"]),
        vocabulary=int(config["vocab_size"]),
        longest=config.get("max_position_embeddings"),
    )


def _tensors(file: Path) -> list[tuple[str, list[int]]]:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= _LONGEST_HEADER:
            raise ValueError(f"{file.name} is no safetensors file")
        header = json.loads(stream.read(length))
    return [(name, each["shape"]) for name, each in header.items() if name != "__metadata__"]
