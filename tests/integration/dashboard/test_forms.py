"""The forms offer what the API allows."""

from __future__ import annotations

from academy.curation.request import CurationRequest
from academy.dashboard.forms import curation_form, training_form
from academy.settings import Settings
from academy.training.request import TrainingRequest


def test_the_training_form_has_the_ranges_and_defaults_of_the_recipe() -> None:
    fields = {
        each.name: each
        for each in (*training_form(Settings()).fields, *training_form(Settings()).more)
    }
    rank = fields["lora_rank"]
    assert (rank.kind, rank.default, rank.low, rank.high) == ("integer", 16, 1, 512)
    assert fields["learning_rate"].range == "> 0 – 0.1"
    assert fields["max_seq_length"].range == "16 – 131\u202f072"
    assert fields["lr_scheduler"].choices == ("cosine", "linear", "constant")
    # Left empty, these two are not sent, so the recipe's own "auto" and "none" hold.
    assert fields["lora_alpha"].default is None
    assert fields["max_steps"].default is None


def test_what_the_forms_send_untouched_is_what_the_api_takes_for_nothing() -> None:
    for form, model in (
        (training_form(Settings()), TrainingRequest),
        (curation_form(Settings()), CurationRequest),
    ):
        sent = {
            each.name: each.default
            for each in (*form.fields, *form.more)
            if each.default is not None
        }
        assert model.model_validate(sent) == model()
