"""What is made small: the loss of answers (SFT), or of preferring the chosen answer (DPO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from academy.recipes.recipe import Recipe
from academy.trainer.data.batches import collate
from academy.trainer.data.encoding import EncodedPair, Example
from academy.trainer.model.model import AnswerModel
from academy.trainer.spec import BadSpec


@dataclass(frozen=True)
class Measured:
    """What the model makes of some rows.

    `losses` (rows,) are sums over each row's weight, in nats, and carry gradients. `margins`
    (rows,) are by how much the chosen answer's reward is above the rejected one's; None for rows
    that are no pairs.
    """

    losses: torch.Tensor
    margins: torch.Tensor | None


class Objective:
    """The loss that a recipe asks for."""

    def __init__(self, model: AnswerModel, recipe: Recipe) -> None:
        self.model = model
        self._recipe = recipe
        #: Whether the rows of a batch lie behind each other in one line, without padding.
        self.packed = recipe.packing or model.keeps_rows_apart

    def measure(self, rows: Sequence[Example]) -> Measured:
        """The losses of `rows`, which go through the model as one batch."""
        likelihoods = self.likelihoods(rows)
        pairs = [row for row in rows if isinstance(row, EncodedPair)]
        if not pairs:
            return Measured(-likelihoods, None)
        return preference_loss(
            likelihoods.view(-1, 2),
            torch.tensor([pair.reference for pair in pairs], device=likelihoods.device),
            beta=self._recipe.dpo_beta,
            label_smoothing=self._recipe.dpo_label_smoothing,
        )

    def require_rows_apart(self, rows: Sequence[Example]) -> None:
        """Try whether packed rows see each other, as in models that know no positions.

        Then rows are padded; raises `BadSpec` if the recipe asks for packing.
        """
        if not self.packed or len(rows) < 2:
            return
        shortest = sorted(rows, key=lambda row: row.length)[:2]
        with self.model.evaluating(adapter=True):
            packed = self.likelihoods(shortest)
            sequences = [each for row in shortest for each in row.sequences]
            alone = torch.cat([self.likelihoods([each]) for each in sequences])
        # In bfloat16 the order of a sum alone moves the third digit.
        tolerance = 1e-3 if self._recipe.dtype == "float32" else 0.03
        if torch.allclose(packed, alone, rtol=tolerance, atol=tolerance):
            return
        self.packed = False
        if self._recipe.packing:
            raise BadSpec(
                detail="packing is true, but this model's attention does not keep packed rows "
                f"apart (a log-likelihood of {float(alone[-1]):.4f} became {float(packed[-1]):.4f})"
            )

    def likelihoods(self, rows: Sequence[Example]) -> torch.Tensor:
        """Log-likelihood in nats of each sequence's learnt tokens, shape (sequences,)."""
        sequences = [each for row in rows for each in row.sequences]
        batch = collate(sequences, self.model.device, packed=self.packed)
        losses = self.model.losses(batch)
        return -losses.new_zeros(len(sequences)).index_add(0, batch.owners, losses)


def preference_loss(
    policy: torch.Tensor, reference: torch.Tensor, *, beta: float, label_smoothing: float
) -> Measured:
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290, equation 7).

    `policy` and `reference` (pairs, 2) are log-likelihoods of the chosen and the rejected answer.
    An answer's reward is beta · (policy - reference), the margin m that of the chosen less that of
    the rejected one, and the loss -log σ(m). With a label smoothing ε it is
    -(1-ε) log σ(m) - ε log σ(-m) (Mitchell 2023, "A note on DPO with noisy preferences").
    """
    rewards = beta * (policy - reference)
    margins = rewards[:, 0] - rewards[:, 1]
    losses = -(1 - label_smoothing) * functional.logsigmoid(margins)
    losses = losses - label_smoothing * functional.logsigmoid(-margins)
    return Measured(losses, margins.detach())
