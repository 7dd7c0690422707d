"""The forms' fields with the ranges of the API's own models, so that the two cannot drift apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from academy.curation.request import CurationRequest
from academy.settings import Settings
from academy.training.request import TrainingRequest

_CURATION = ("lessons_limit", "git_commits_limit", "format")
_MORE_CURATION = (
    "include_task_history",
    "tasks_limit",
    "heldout_fraction",
    "git_example",
    "min_quality",
    "near_duplicate_jaccard",
    "secrets",
    "mask_emails",
)
_TRAINING = ("lora_rank", "learning_rate", "num_epochs", "batch_size", "max_seq_length")
_MORE_TRAINING = (
    "max_steps",
    "gradient_accumulation",
    "lora_alpha",
    "lora_dropout",
    "lr_scheduler",
    "warmup_ratio",
    "weight_decay",
    "eval_interval_steps",
    "early_stopping_patience",
    "seed",
    "base_model",
    "role",
    "priority",
)


@dataclass(frozen=True)
class Field:
    """One input of a form. `kind` is integer, number, text, choice or switch.

    `default` is None for a field that is left out when it is empty.
    """

    name: str
    kind: str
    default: Any = None
    low: float | None = None
    above: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    longest: int | None = None

    @property
    def range(self) -> str | None:
        """The allowed numbers as a sign, the same in every language."""
        if self.kind not in {"integer", "number"}:
            return None
        low = f"> {self.above:g}" if self.above is not None else _plain(self.low)
        if low is None:
            return None
        if self.high is not None:
            return f"{low} – {_plain(self.high)}"
        return low if self.above is not None else f"≥ {low}"


@dataclass(frozen=True)
class Form:
    """The fields that everybody sees, and those behind “more”."""

    fields: tuple[Field, ...]
    more: tuple[Field, ...]


@cache
def curation_form(settings: Settings) -> Form:
    """What ``POST /dataset`` takes, with the defaults of the settings."""
    defaults = CurationRequest.model_validate({}).with_defaults(settings)
    return _form(defaults, _CURATION, _MORE_CURATION)


@cache
def training_form(settings: Settings) -> Form:
    """What ``POST /train`` takes, with the defaults of the settings."""
    defaults = TrainingRequest.model_validate({}).with_defaults(settings)
    return _form(defaults, _TRAINING, _MORE_TRAINING)


def _form(request: BaseModel, names: tuple[str, ...], more: tuple[str, ...]) -> Form:
    properties = type(request).model_json_schema(by_alias=False)["properties"]
    defaults = request.model_dump(mode="json")
    return Form(
        tuple(_field(name, properties[name], defaults[name]) for name in names),
        tuple(_field(name, properties[name], defaults[name]) for name in more),
    )


def _field(name: str, schema: dict[str, Any], default: Any) -> Field:
    members = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    # A field that is "auto" or a number shows the number; left empty, it is "auto".
    chosen = next((each for each in members if "const" not in each), members[0])
    if "enum" in chosen:
        return Field(name, "choice", default, choices=tuple(chosen["enum"]))
    if chosen["type"] == "boolean":
        return Field(name, "switch", default)
    if chosen["type"] in {"integer", "number"}:
        return Field(
            name,
            chosen["type"],
            None if isinstance(default, str) else default,
            low=chosen.get("minimum"),
            above=chosen.get("exclusiveMinimum"),
            high=chosen.get("maximum"),
        )
    return Field(
        name, "text", default, pattern=chosen.get("pattern"), longest=chosen.get("maxLength")
    )


def _plain(value: float | None) -> str | None:
    if value is None:
        return None
    # A narrow space between the thousands is right in every language; the page's script then
    # writes the numbers as the browser's region does.
    return f"{value:,.15g}".replace(",", "\u202f")
