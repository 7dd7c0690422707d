"""Each rule for lessons, conversations and runs; and the request that switches them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from academy.curation import filters
from academy.curation.git import filters as git_filters
from academy.curation.request import FILTER_NAMES, CurationRequest
from academy.curation.sources import Lesson, TaskRecord, row_of_lesson, row_of_task

ACROSS_ROWS = {"exact_duplicate", "near_duplicate", "heldout_overlap"}
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
GOOD = Lesson("1", "How do I undo a commit?", "Use git revert.", ["git"], "agent", 0.9, NOON)


def verdict(lesson: Lesson, **options: Any) -> str | None:
    request = CurationRequest(**options)
    found = filters.first_match(filters.LESSON_FILTERS, lesson, row_of_lesson(lesson), request)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, None),
        ({"quality": None}, None),
        ({"situation": "  \n"}, "empty_prompt"),
        ({"solution": ""}, "short_answer"),
        ({"solution": "ok"}, "short_answer"),
        ({"solution": "....."}, "short_answer"),
        ({"solution": "how do I  undo a COMMIT?"}, "echoed_prompt"),
        ({"solution": "x" * 30_000}, "long_row"),
        ({"solution": "As an AI language model, I cannot."}, "refusal"),
        ({"solution": "I'm sorry, but I cannot help with that."}, "refusal"),
        ({"solution": "Sorry, I can't assist with that"}, "refusal"),
        ({"solution": "I cannot stress enough: use git revert."}, None),
        ({"quality": 0.1}, "low_quality"),
        ({"quality": float("nan")}, "low_quality"),
    ],
)
def test_a_lesson_gets_the_verdict_it_deserves(change: Any, expected: str | None) -> None:
    assert verdict(replace(GOOD, **change)) == expected


def test_a_filter_can_be_switched_off_by_its_name() -> None:
    bad = replace(GOOD, quality=0.1)
    assert verdict(bad) == "low_quality"
    assert verdict(bad, disabled_filters=["low_quality"]) is None


def test_the_request_names_every_filter_there_is() -> None:
    rules = {
        *filters.LESSON_FILTERS,
        *filters.TASK_FILTERS,
        *filters.RUN_FILTERS,
        *filters.REJECTED_FILTERS,
        *git_filters.MESSAGE_FILTERS,
        *git_filters.CHANGE_FILTERS,
    }
    names = {rule.__name__ for rule in rules} | ACROSS_ROWS
    assert names == set(FILTER_NAMES)
    assert all(rule.__doc__ for rule in rules)


@pytest.mark.parametrize(
    "fields",
    [
        {"lessons_limit": -1},
        {"lessons_limit": 1_000_001},
        {"git_commits_limit": "many"},
        {"format": "csv"},
        {"heldout_fraction": float("nan")},
        {"heldout_fraction": 0.95},
        {"disabled_filters": ["merges"]},
        {"unknown": 1},
        {"secrets": "keep"},
        {"near_duplicate_jaccard": 0.1},
    ],
)
def test_a_wrong_field_is_refused_by_its_name(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        CurationRequest(**fields)


def test_the_defaults_are_those_of_the_seeds_and_split_is_another_name() -> None:
    request = CurationRequest()
    assert (request.lessons_limit, request.git_commits_limit, request.format) == (
        200,
        100,
        "alpaca",
    )
    assert CurationRequest.model_validate({"split": 0.5}).heldout_fraction == 0.5
    again = CurationRequest.model_validate(request.model_dump(mode="json"))
    assert again == request


def test_a_conversation_ends_with_its_last_answer() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?\r\n"},
        {"role": "assistant", "content": "Because."},
        {"role": "user", "content": "Thanks"},
    ]
    row = row_of_task(TaskRecord("t", messages, "success", NOON))
    assert row.answer == "Because."
    assert row.prompt == "Be brief.\nWhy?"


def test_lessons_about_one_situation_share_a_group() -> None:
    other = replace(GOOD, id="2", situation=" how do i UNDO a commit?", solution="Ask a friend.")
    assert row_of_lesson(GOOD).group == row_of_lesson(other).group
    assert row_of_lesson(GOOD).time == 1_735_732_800
    assert row_of_lesson(replace(GOOD, created_at=datetime(2025, 1, 1, 12))).time == 1_735_732_800
