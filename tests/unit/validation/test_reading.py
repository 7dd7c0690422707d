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
