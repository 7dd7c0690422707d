"""What a client asks of a sweep: a training, the knobs to try, and how much may be spent."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from academy.recipes.recipe import Recipe

#: Trials of one sweep at most.
MOST_TRIALS = 200
#: Fields that say how or where to train and not what is learnt; the losses that they give are equal
#: or cannot be compared.
NOT_KNOBS = frozenset(
    {
        "preset",
        "method",
        "dpo_beta",
        "dpo_label_smoothing",
        "packing",
        "backend",
        "shard_model",
        "device",
        "dtype",
        "gpus",
        "hosts",
        "gradient_checkpointing",
        "checkpoint_interval_steps",
        "log_interval_steps",
        "divergence_patience",
        "max_eval_rows",
        "eval_interval_steps",
        "early_stopping_patience",
    }
)
KNOBS = tuple(name for name in Recipe.model_fields if name not in NOT_KNOBS)


class Knob(BaseModel):
    """The values of one knob: a list of them, or a range with both ends."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    values: list[Any] | None = Field(
        None, min_length=1, max_length=50, description="the values to try"
    )
    low: int | float | None = Field(None, description="the lower end of a range, inclusive")
    high: int | float | None = Field(None, description="the upper end of a range, inclusive")
    log: bool = Field(False, description="draw from the range by orders of magnitude")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.values is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("give either values, or low and high")
            if len({repr(value) for value in self.values}) < len(self.values):
                raise ValueError("a value is there twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give either values, or low and high")
        if self.low >= self.high:
            raise ValueError(f"low is {self.low}, which is not below high, {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, not {self.low}")
        return self


class SweepRequest(BaseModel):
    """A search for the values of some knobs that give the lowest held-out loss."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    training: dict[str, Any] = Field(
        max_length=100,
        default_factory=dict,
        description="what all trials share, as POST /train takes it",
    )
    knobs: dict[str, Knob] = Field(
        min_length=1, max_length=8, description="the recipe's fields to vary, and their values"
    )
    method: Literal["grid", "random", "tpe"] = Field(
        "grid",
        description="'grid': every combination; 'random': draws; 'tpe': draws that learn from the "
        "trials before (tree-structured Parzen estimator)",
    )
    max_trials: int = Field(
        20, ge=1, le=MOST_TRIALS, description="trials at most; a grid has to fit into it"
    )
    max_total_steps: int | None = Field(
        None, ge=1, description="optimizer steps of all trials together at most"
    )
    parallel: int = Field(2, ge=1, le=64, description="trials that wait or run at the same time")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="decides what is drawn")
    early_stopping: Literal["median", "none"] = Field(
        "none",
        description="'median': cancel a trial whose best loss is above the median of the others' "
        "best at the same share of the work; needs training.eval_interval_steps",
    )
    min_trials: int = Field(
        3, ge=2, le=50, description="trials that have to reach a point before it can stop another"
    )
    name: str | None = Field(None, max_length=200, description="a name for people")

    @property
    def ordered(self) -> list[tuple[str, Knob]]:
        """The knobs by name: an order that PostgreSQL's JSON, which has its own, cannot change."""
        return sorted(self.knobs.items())

    @property
    def size(self) -> int | None:
        """How many combinations there are; None where a knob has a range."""
        if any(knob.values is None for knob in self.knobs.values()):
            return None
        return math.prod(len(knob.values or ()) for knob in self.knobs.values())

    def is_whole(self, name: str) -> bool:
        """Whether a knob's range holds whole numbers only, because the recipe's field does."""
        return name in _whole_knobs()

    @property
    def trials(self) -> int:
        """How many trials there will be at most."""
        return min(self.max_trials, self.size or self.max_trials)

    def combination(self, number: int) -> dict[str, Any]:
        """Combination `number` of a grid, from 0; the last knob by name changes fastest."""
        lists = [knob.values or () for _, knob in self.ordered]
        chosen = next(itertools.islice(itertools.product(*lists), number, None))
        return {name: value for (name, _), value in zip(self.ordered, chosen, strict=True)}


@cache
def _whole_knobs() -> frozenset[str]:
    """The fields of a recipe that no fraction fits into."""
    fields = Recipe.model_json_schema()["properties"]
    return frozenset(name for name, schema in fields.items() if "number" not in _types(schema))


def _types(schema: dict[str, Any]) -> set[str]:
    members = schema.get("anyOf", [schema])
    return {str(member.get("type")) for member in members}
