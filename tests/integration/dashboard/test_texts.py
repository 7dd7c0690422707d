"""The page's texts: whole in every language, and all that the page asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from academy.api.ops.schedules_shapes import ScheduleShown
from academy.api.ops.workers_shapes import WorkerState
from academy.api.training.sweeps_shapes import SweepSummary
from academy.dashboard import views
from academy.dashboard.forms import curation_form, training_form
from academy.dashboard.languages import LANGUAGES, texts
from academy.jobs import kinds
from academy.lifecycle import Status
from academy.settings import Settings

_FOLDER = Path(views.__file__).parent
_FIELD = re.compile(r"{(\w+)}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts_with_the_same_fields(language: str) -> None:
    first = texts("en")
    found = texts(language)
    assert list(found) == list(first)
    for key, text in found.items():
        assert text.strip(), key
        assert sorted(_FIELD.findall(text)) == sorted(_FIELD.findall(first[key])), key


def test_every_text_that_scripts_and_templates_name_exists() -> None:
    known = set(texts("en"))
    named = set()
    for path in (*_FOLDER.rglob("*.js"), *_FOLDER.rglob("*.html")):
        named |= set(re.findall(r"""\b(?:t|text)\(["']([\w.\-]+)["'][,)]""", path.read_text()))
    assert len(named) > 100
    assert named - known == set()


def test_every_status_kind_field_and_choice_has_a_text() -> None:
    wanted = {f"status.{each}" for each in Status}
    for kind in kinds.every():
        assert set(kind.titles) == set(LANGUAGES) and all(kind.titles.values()), kind.name
    for form in (curation_form(Settings()), training_form(Settings())):
        for field in (*form.fields, *form.more):
            wanted |= {f"field.{field.name}"} | {f"choice.{each}" for each in field.choices}
    wanted |= {f"worker.state.{each}" for each in WorkerState}
    wanted |= {f"status.{each}" for each in _choices(SweepSummary, "status")}
    wanted |= {f"schedule.{each}" for each in _choices(ScheduleShown, "last_outcome")}
    assert wanted - set(texts("en")) == set()


def _choices(shape: Any, field: str) -> set[str]:
    """The words that a field of an answer may be."""
    kinds = get_args(shape.model_fields[field].annotation)
    words = {each for kind in kinds for each in get_args(kind) or (kind,)} - {type(None)}
    assert words
    return words


def test_scripts_never_make_html_of_data_and_load_nothing_from_elsewhere() -> None:
    for path in (*_FOLDER.rglob("*.js"), *_FOLDER.rglob("*.html"), *_FOLDER.rglob("*.css")):
        source = path.read_text()
        for banned in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "| safe"):
            assert banned not in source, (path.name, banned)
        links = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", source))
        assert links <= {"http://www.w3.org/2000/svg"}, path.name
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=", source), path.name
