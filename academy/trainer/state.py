"""The state of a training under way, which the loop and each of its steps share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from academy.recipes.memory import CPU_TOKENS_AT_ONCE
from academy.recipes.recipe import Recipe
from academy.trainer.checkpoints import Counters
from academy.trainer.data.batches import BatchPlan
from academy.trainer.data.encoding import Example
from academy.trainer.evaluation import cost_of
from academy.trainer.model.model import AnswerModel
from academy.trainer.objective import Objective
from academy.trainer.ranks.ranks import Ranks
from academy.trainer.report import Report
from academy.trainer.stop import StopRequest


@dataclass
class TrainState:
    """A training under way. `recipe` has no "auto" left."""

    objective: Objective
    recipe: Recipe
    rows: Sequence[Example]
    choosing: Sequence[Example]  # held-out rows for the evaluations on the way
    proving: Sequence[Example]  # held-out rows for the evaluation after the last step
    report: Report
    stop: StopRequest
    counters: Counters
    save: Callable[[], None]  # writes a checkpoint of the state that is reached
    ranks: Ranks = field(default_factory=Ranks)
    best: dict[str, torch.Tensor] | None = None
    optimizer: torch.optim.AdamW = field(init=False)
    plan: BatchPlan = field(init=False)
    final_cost: int = field(init=False)  # tokens in the evaluation after the last step

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(
            self.objective.model.trainable.values(),
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
        )
        tokens_at_once = CPU_TOKENS_AT_ONCE if self.recipe.device == "cpu" else None
        self.plan = BatchPlan(
            [row.length for row in self.rows],
            self.recipe,
            tokens_at_once,
            packed=self.objective.packed,
        )
        self.final_cost = cost_of(self.proving)

    @property
    def model(self) -> AnswerModel:
        """The model that learns."""
        return self.objective.model


def learning_rate(recipe: Recipe, step: int, total_steps: int) -> float:
    """The learning rate of step `step`, counted from 0: a linear rise, then the recipe's fall."""
    warmup = math.ceil(recipe.warmup_ratio * total_steps)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    if recipe.lr_scheduler == "constant":
        return recipe.learning_rate
    done = (step - warmup) / max(1, total_steps - warmup)
    if recipe.lr_scheduler == "linear":
        return recipe.learning_rate * (1 - done)
    return recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2
