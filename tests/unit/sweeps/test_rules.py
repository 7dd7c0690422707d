"""What a sweep may be is checked for whoever begins one, not for clients of HTTP only."""

from __future__ import annotations

from typing import Any

import pytest

from academy.errors import InvalidRequest
from academy.sweeps.request import SweepRequest
from academy.sweeps.rules import require_sound

RATES = {"learning_rate": {"values": [1e-4, 1e-3]}}


@pytest.mark.parametrize(
    ("asked", "pointer", "said"),
    [
        ({"knobs": {"learning_rat": {"values": [1]}}}, "/knobs/learning_rat", "learning_rate"),
        ({"knobs": {"device": {"values": ["cpu"]}}}, "/knobs/device", "not what is learnt"),
        ({"knobs": {"lora_rank": {"values": [8, 0]}}}, "/knobs/lora_rank/values/1", "lora_rank"),
        ({"knobs": {"lora_rank": {"low": 0, "high": 8}}}, "/knobs/lora_rank/low", "lora_rank"),
        ({"knobs": RATES, "training": {"lora_rank": -1}}, "/training/lora_rank", "In training"),
        ({"knobs": RATES, "training": {"learning_rate": 1e-3}}, "/knobs/learning_rate", "too"),
        ({"knobs": RATES, "early_stopping": "median"}, "/early_stopping", "not evaluated"),
    ],
)
def test_each_fault_is_named_by_its_pointer(asked: dict[str, Any], pointer: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        require_sound(SweepRequest.model_validate({"method": "random", **asked}))
    assert [each["pointer"] for each in refused.value.errors] == [pointer]
    assert said in str(refused.value)


def test_a_grid_larger_than_the_number_of_trials_is_refused() -> None:
    ranks = {"lora_rank": {"values": list(range(1, 40))}, "seed": {"values": list(range(10))}}
    with pytest.raises(InvalidRequest, match="390 combinations"):
        require_sound(SweepRequest.model_validate({"method": "grid", "knobs": ranks}))


def test_a_sound_sweep_passes() -> None:
    require_sound(SweepRequest.model_validate({"method": "grid", "knobs": RATES}))
