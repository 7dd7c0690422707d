"""The shipped lessons keep their form, so that a small model can learn it from them."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
HOUSE_FORM = re.compile(r"Cause: \S.*[.]\nFix: [A-Z`].*[.`]")
NEAR_DUPLICATE = 0.6


@pytest.fixture(scope="module")
def lessons() -> list[dict[str, Any]]:
    return _rows("lessons.jsonl")


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    return _rows("questions.jsonl")


def test_there_are_enough_lessons(lessons: list[dict[str, Any]]) -> None:
    assert len(lessons) >= 160


def test_every_lesson_has_exactly_the_fields_of_a_lesson(lessons: list[dict[str, Any]]) -> None:
    for lesson in lessons:
        assert list(lesson) == ["id", "situation", "solution", "tags", "source", "quality"], lesson
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", lesson["id"]), lesson["id"]
        assert lesson["source"] == "examples"
        assert 0 < lesson["quality"] <= 1
        assert lesson["tags"], lesson["id"]
        assert len(set(lesson["tags"])) == len(lesson["tags"]), lesson["id"]


def test_ids_situations_and_solutions_are_unique(lessons: list[dict[str, Any]]) -> None:
    for field in ("id", "situation", "solution"):
        values = [lesson[field] for lesson in lessons]
        assert len(set(values)) == len(values), field


def test_every_solution_is_a_cause_and_a_fix(
    lessons: list[dict[str, Any]], questions: list[dict[str, Any]]
) -> None:
    odd = [row["id"] for row in lessons + questions if not HOUSE_FORM.fullmatch(row["solution"])]
    assert odd == []


def test_situations_and_solutions_keep_their_length(
    lessons: list[dict[str, Any]], questions: list[dict[str, Any]]
) -> None:
    for row in lessons + questions:
        assert 8 <= len(row["situation"].split()) <= 40, row["id"]
        assert 20 <= len(row["solution"].split()) <= 45, row["id"]


def test_no_two_lessons_are_near_duplicates(
    lessons: list[dict[str, Any]], questions: list[dict[str, Any]]
) -> None:
    words = {row["id"]: _words(row) for row in lessons + questions}
    close = [
        (one, other, round(_jaccard(words[one], words[other]), 2))
        for one, other in combinations(words, 2)
        if _jaccard(words[one], words[other]) > NEAR_DUPLICATE
    ]
    assert close == []


def test_the_questions_are_not_in_the_lessons(
    lessons: list[dict[str, Any]], questions: list[dict[str, Any]]
) -> None:
    assert len(questions) == 6
    for row in questions:
        assert list(row) == ["id", "situation", "solution", "tags"], row
    for field in ("id", "situation", "solution"):
        assert not {row[field] for row in questions} & {row[field] for row in lessons}


def test_the_lessons_cover_many_fields(lessons: list[dict[str, Any]]) -> None:
    tags = {tag for lesson in lessons for tag in lesson["tags"]}
    wanted = {"postgres", "redis", "celery", "flask", "git", "docker", "pip", "dns", "tls", "disk"}
    wanted |= {"memory", "systemd", "alembic", "gunicorn", "nginx", "cuda", "pytest", "kubernetes"}
    assert wanted <= tags


def _rows(name: str) -> list[dict[str, Any]]:
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _words(row: dict[str, Any]) -> set[str]:
    return set(re.findall(r"\w+", f"{row['situation']} {row['solution']}".lower()))


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)
