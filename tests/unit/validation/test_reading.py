"""What an error says of a value that none of several forms of a field takes."""

from __future__ import annotations

import pytest

from academy.errors import InvalidRequest
from academy.training.request import TrainingRequest
from academy.validation.reading import read


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"backend": "nope"},
            "backend is \"nope\": it may be 'auto' or 'peft' or 'unsloth'.",
        ),
        (
            {"checkpoint_interval_steps": -1},
            "checkpoint_interval_steps is -1: it may be 'auto' or a whole number at least 1.",
        ),
    ],
)
def test_the_sentence_names_every_form_that_a_field_takes(
    given: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(given, TrainingRequest)
    assert str(refused.value) == sentence
    (error,) = refused.value.errors
    assert f"it may be {error['allowed']}." in sentence


def test_a_whole_number_may_be_written_with_a_point_wherever_it_stands() -> None:
    asked = {"lora_rank": 16.0, "checkpoint_interval_steps": 5.0, "weight_decay": 1.0}
    found = read(asked, TrainingRequest)
    assert (found.lora_rank, found.checkpoint_interval_steps) == (16, 5)
    assert type(found.lora_rank) is int and type(found.weight_decay) is float
    assert asked["lora_rank"] == 16.0 and type(asked["lora_rank"]) is float, "it stays as it was"


@pytest.mark.parametrize("given", [16.5, "16", True, 1e300, -1.0, None])
def test_what_is_no_whole_number_in_the_range_is_refused(given: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read({"batch_size": given}, TrainingRequest)
    assert refused.value.errors[0]["pointer"] == "/batch_size"
