"""The computation of a server: prompts in, one token for each row and step out.

Everything here runs in the model's thread. What runs when, and for whom, is `engine`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from academy.runtime.base_model import BaseModel, load_base
from academy.runtime.cache import Part, new_cache, regroup
from academy.runtime.errors import ModelUnloadable
from academy.runtime.generation import Generation
from academy.runtime.lora import Adapters
from academy.runtime.sampling import Chooser
from academy.runtime.text import TextStream


@dataclass(eq=False)
class Row:
    """A request inside the model."""

    generation: Generation
    chooser: Chooser
    text: TextStream
    cache: Any = field(default_factory=new_cache)  # its own, until it joins the batch
    read: int = 0  # prompt tokens that the model has seen
    tokens: int = 0  # tokens of the answer so far
    last: int = 0  # the newest token, which the model has not seen yet

    @property
    def length(self) -> int:
        """Columns of the cache that belong to this row: every token but the newest."""
        return self.read + self.tokens - 1


class Decoder:
    """A network, its adapters, and the rows that are being decoded together."""

    def __init__(self, base: BaseModel) -> None:
        self.base = base
        self.adapters = Adapters(base)
        self.rows: list[Row] = []
        self._cache: Any = None

    @classmethod
    def open(cls, folder: Path, device: str, dtype: str) -> Decoder:
        """Load the base model and let it read one token. Raises `ModelUnloadable`."""
        decoder = cls(load_base(folder, device, dtype))
        decoder._warm_up()
        return decoder

    def row(self, generation: Generation) -> Row:
        """A row for a new request; nothing is computed yet."""
        return Row(
            generation,
            Chooser(generation.ask.sampling),
            TextStream(generation.tokenizer, generation.ask.stop),
        )

    @torch.inference_mode()
    def read_prompt(self, row: Row, most: int) -> int | None:
        """Read up to `most` more tokens of the prompt; the first token of the answer at its end.

        Prompts are read row by row, so that what a prompt computes never depends on its company.
        """
        prompt = row.generation.ask.prompt
        chunk = prompt[row.read : row.read + most]
        self.adapters.use([row.generation.key])
        positions = torch.arange(row.read, row.read + len(chunk), device=self.base.device)
        logits = self.base.network(
            input_ids=torch.tensor([chunk], device=self.base.device),
            attention_mask=torch.ones((1, row.read + len(chunk)), device=self.base.device),
            position_ids=positions[None],
            past_key_values=row.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        row.read += len(chunk)
        if row.read < len(prompt):
            return None
        return self._chosen([row], logits[:, -1])[0]

    @torch.inference_mode()
    def join(self, row: Row) -> None:
        """A row whose prompt was read takes part in the next step."""
        parts = [] if self._cache is None else [self._kept(self.rows)]
        self._cache = regroup([*parts, Part(row.cache, [0], [row.length])])
        self.rows.append(row)
        row.cache = None

    @torch.inference_mode()
    def leave(self, gone: list[Row]) -> None:
        """These rows are done; the others go on."""
        stay = [row for row in self.rows if row not in gone]
        if len(stay) == len(self.rows):
            return
        self._cache = regroup([self._kept(stay)]) if stay else None
        self.rows = stay

    @torch.inference_mode()
    def step(self) -> list[tuple[Row, int]]:
        """The next token of each row."""
        rows, device = self.rows, self.base.device
        lengths = torch.tensor([row.length for row in rows], device=device)
        width = int(self._cache.get_seq_length()) + 1
        columns = torch.arange(width, device=device)
        self.adapters.use([row.generation.key for row in rows])
        logits = self.base.network(
            input_ids=torch.tensor([[row.last] for row in rows], device=device),
            attention_mask=columns[None] >= (width - 1 - lengths)[:, None],
            position_ids=lengths[:, None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return list(zip(rows, self._chosen(rows, logits[:, -1]), strict=True))

    @torch.inference_mode()
    def _warm_up(self) -> None:
        """The first pass is slow; and a network that caches in another way cannot be batched."""
        cache, network = new_cache(), self.base.network
        token = torch.zeros((1, 1), dtype=torch.long, device=self.base.device)
        try:
            network(token, past_key_values=cache, use_cache=True)
            usable = all(each.get_seq_length() == 1 for each in cache.layers)
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise ModelUnloadable(path=str(self.base.folder), why=str(error)) from error
        if not usable or len(cache.layers) != network.config.num_hidden_layers:
            why = f"{type(network).__name__} does not keep keys and values for each layer"
            raise ModelUnloadable(path=str(self.base.folder), why=why)

    def _kept(self, rows: list[Row]) -> Part:
        places = [self.rows.index(row) for row in rows]
        return Part(self._cache, places, [row.length for row in rows])

    def _chosen(self, rows: list[Row], logits: torch.Tensor) -> list[int]:
        """Choose one token for each row and count it."""
        likeliest = logits.argmax(-1).tolist()
        tokens = []
        for place, row in enumerate(rows):
            greedy = row.chooser.greedy
            token = likeliest[place] if greedy else row.chooser.choose(logits[place])
            row.last = token
            row.tokens += 1
            tokens.append(token)
        return tokens
