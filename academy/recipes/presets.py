"""Named starting points for a recipe, so that nobody has to know every knob.

A preset fills in the fields that are left out; whatever is given wins over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

Preset = Literal["small", "default", "quality"]

#: The fields in which each preset differs from the recipe's defaults.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # To try things out, and for machines with little memory: half the rank and the length, so
        # that a step costs less, and fewer rows to prove the gain on.
        "small": {
            "lora_rank": 8,
            "batch_size": 2,
            "gradient_accumulation": 2,
            "max_seq_length": 1024,
            "num_epochs": 1,
            "max_eval_rows": 64,
        },
        "default": {},
        # When the adapter matters more than the time: more room to learn, gentler steps over more
        # rows, and an end when the held-out loss stops falling.
        "quality": {
            "lora_rank": 32,
            "use_rslora": True,
            "lora_alpha": 32.0,
            "lora_dropout": 0.05,
            "learning_rate": 1e-4,
            "warmup_ratio": 0.05,
            "gradient_accumulation": 4,
            "num_epochs": 5,
            "eval_interval_steps": 50,
            "early_stopping_patience": 3,
        },
    }
)


def filled(given: Any) -> Any:
    """A recipe's fields with those of its preset where they are left out."""
    if not isinstance(given, dict):
        return given  # not a recipe, which the validation that follows says
    preset = given.get("preset")
    # An unknown name is refused, with the known ones, by the field's own type.
    return {**(PRESETS.get(preset, {}) if isinstance(preset, str) else {}), **given}
