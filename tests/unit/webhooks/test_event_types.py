"""What webhooks may ask for is what the triggers write; OpenAI's words for ends of trainings."""

from __future__ import annotations

import importlib
import re

import pytest
from pydantic import ValidationError

from academy.lifecycle import Status
from academy.webhooks import event_types
from academy.webhooks.event_types import CHANGES, EVENT_TYPES, PATTERN, is_asked_for, sent_as
from academy.webhooks.request import WebhookRequest


def test_every_type_that_the_triggers_write_is_known() -> None:
    triggers = importlib.import_module("migrations.versions.0012_changes").TRIGGERS
    written = set(re.findall(r"'((?:job|adapter|alias|dataset|worker)\.[a-z]+)'", triggers))
    statuses = {f"job.{status}" for status in Status if status is not Status.FINISHED}
    assert written | statuses == set(CHANGES)


def test_every_type_has_the_form_that_is_asked_for() -> None:
    assert [each for each in EVENT_TYPES if not re.fullmatch(PATTERN, each)] == []


def test_the_end_of_a_training_has_openais_name_and_answers_to_both() -> None:
    training, curation = {"kind": "training"}, {"kind": "curation"}
    assert sent_as("job.succeeded", training) == "fine_tuning.job.succeeded"
    assert sent_as("job.succeeded", curation) == "job.succeeded"
    assert sent_as("job.running", training) == "job.running"
    both = "job.failed", "fine_tuning.job.failed"
    for pattern in ("*", "job.*", "fine_tuning.*", "fine_tuning.job.*", *both):
        assert is_asked_for([pattern], *both), pattern
    assert not is_asked_for(["adapter.*", "job.succeeded"], *both)


@pytest.mark.parametrize("wrong", ["job.sucseeded", "jobs.*", "job*", "", "*.*", "job.", "Job.*"])
def test_what_is_no_type_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        WebhookRequest(url="https://8.8.8.8/", event_types=[wrong])


def test_a_test_is_no_type_that_can_be_asked_for() -> None:
    assert event_types.TEST not in EVENT_TYPES
