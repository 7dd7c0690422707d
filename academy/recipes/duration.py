"""How long a training takes, predicted from its tokens and a rate.

A token of a LoRA training costs 4 FLOP for each weight of a linear layer: 2 forward and 2 for the
gradient that goes back through it; the frozen weights get none of their own (Kaplan et al.,
arXiv 2001.08361, section 2.1, less the third part). The output head costs the same, for answer
tokens only. With checkpointing the forward pass is done twice, which makes 6.
"""

from __future__ import annotations

from dataclasses import dataclass

from academy.basemodels.shape import ModelShape
from academy.recipes.recipe import Recipe

#: Share of the rate of bare matrix products that a training reaches. CPU: what the trainer has to
#: reach (benchmarks/training.py measures it). GPU: a guess for small batches, never measured.
SHARE = {"cpu": 0.65, "cuda": 0.35}
#: Dense bfloat16 rates by name, from NVIDIA's data sheets, in FLOP a second.
GPU_RATES = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "T4": 65e12,  # float16; it has no bfloat16
}


@dataclass(frozen=True)
class Work:
    """What a training puts through the model: tokens, and those of them that are answers."""

    tokens: float
    answers: float


def work_of(recipe: Recipe, tokens: int, answers: int, rows: int) -> Work:
    """The work of all steps, for rows with so many tokens in all."""
    passes = min(recipe.total_steps(rows) / recipe.steps_per_epoch(rows), float(recipe.num_epochs))
    return Work(tokens * passes, answers * passes)


def estimate_seconds(shape: ModelShape, recipe: Recipe, work: Work, rate: float) -> float:
    """Seconds of the steps on hardware that multiplies matrices at `rate` FLOP a second."""
    linears = sum(inputs * outputs for _, inputs, outputs in shape.linears)
    cost = 6 if recipe.gradient_checkpointing else 4
    flop = cost * (linears * work.tokens + shape.hidden * shape.vocabulary * work.answers)
    return flop / (rate * SHARE[str(recipe.device)] * recipe.processes)


def gpu_rate(name: str) -> float | None:
    """The data sheet's rate of a GPU; None for one that is not listed."""
    # The longest name first, as "L4" is also the beginning of "L40S".
    known = sorted(GPU_RATES, key=len, reverse=True)
    return next((GPU_RATES[each] for each in known if each.lower() in name.lower()), None)
