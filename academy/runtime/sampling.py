"""How the next token is chosen from the model's logits."""

from __future__ import annotations

import os
from collections import Counter

import torch

from academy.runtime.generation import Sampling


class Chooser:
    """Chooses the tokens of one request; two with the same seed choose the same."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._counts: Counter[int] = Counter()
        self._generator = torch.Generator()  # on the CPU, so a seed means the same on every device
        seed = sampling.seed
        self._generator.manual_seed(
            int.from_bytes(os.urandom(8), "little") >> 1 if seed is None else seed
        )

    @property
    def greedy(self) -> bool:
        """Whether the answer is simply the largest logit, which the batch finds in one go."""
        return self._sampling.temperature == 0 and not self._penalised

    @property
    def _penalised(self) -> bool:
        return bool(self._sampling.presence_penalty or self._sampling.frequency_penalty)

    def choose(self, logits: torch.Tensor) -> int:
        """The next token from logits of shape ``(vocabulary,)``."""
        sampling = self._sampling
        scores = logits.float().cpu()
        if self._penalised and self._counts:
            scores = scores.clone()
            tokens = torch.tensor(list(self._counts))
            times = torch.tensor(list(self._counts.values()), dtype=scores.dtype)
            # https://platform.openai.com/docs/api-reference/chat/create: counts of the answer only
            scores[tokens] -= sampling.presence_penalty + sampling.frequency_penalty * times
        token = self._draw(scores)
        if self._penalised:
            self._counts[token] += 1
        return token

    def _draw(self, scores: torch.Tensor) -> int:
        sampling = self._sampling
        if sampling.temperature == 0:
            return int(scores.argmax())
        scores, tokens = (scores / sampling.temperature).sort(descending=True)
        if sampling.top_k:
            scores, tokens = scores[: sampling.top_k], tokens[: sampling.top_k]
        chances = scores.softmax(-1)
        # The nucleus is the smallest set whose probability reaches top_p (arXiv:1904.09751), so a
        # token is in it when the tokens before it have not reached it. The first always is.
        before = chances.cumsum(-1) - chances
        chances = torch.where(before < sampling.top_p, chances, 0.0)
        place = torch.multinomial(chances, 1, generator=self._generator)
        return int(tokens[place])
