"""The page's texts: whole in every language, and all that the page asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from academy.api.ops.schedules_shapes import ScheduleShown
from academy.api.ops.workers_shapes import WorkerState
from academy.api.training.preflight_shapes import PreflightShown
from academy.api.training.sweeps_shapes import SweepSummary
from academy.dashboard import views
from academy.dashboard.forms import curation_form, training_form
from academy.dashboard.languages import LANGUAGES, failures, texts
from academy.jobs import kinds
from academy.lifecycle import FailureCode, Status
from academy.queues import CURATION, GPU
from academy.settings import Settings
from academy.web.problems import HTTP_CODES

_FOLDER = Path(views.__file__).parent
_FIELD = re.compile(r"{(\w+)}")
_CODE = re.compile(r'^    code(?:: ClassVar\[str\])? = "(\w+)"', re.M)
#: What no answer to the page tells: programs of their own, whose errors end in a terminal or, where
#: a job meets them, as one of the codes of a job's failure.
_OTHER_PROGRAMS = {"cli", "embedded", "trainer", "client.py"}
_MODEL_SERVERS_OWN = {"path_outside", "client_gone"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts_with_the_same_fields(language: str) -> None:
    for read in (texts, failures):
        first = read("en")
        found = read(language)
        assert list(found) == list(first)
        for key, text in found.items():
            assert isinstance(text, dict) == isinstance(first[key], dict), key
            for form in _forms(text):
                assert form.strip(), key
                assert sorted(_FIELD.findall(form)) == sorted(_FIELD.findall(_any(first[key]))), key


def test_what_stands_in_a_template_counts_nothing() -> None:
    named = set()
    for path in _FOLDER.rglob("*.html"):
        named |= set(re.findall(r"""\btext\(["']([\w.\-]+)["'][,)]""", path.read_text()))
    assert len(named) > 50
    assert {key for key in named if not isinstance(texts("en")[key], str)} == set()


def test_every_code_that_the_page_may_be_told_has_words_in_every_language() -> None:
    codes = {str(each) for each in FailureCode} | set(HTTP_CODES.values()) | {"method_not_allowed"}
    package = _FOLDER.parent
    for path in package.rglob("*.py"):
        if path.relative_to(package).parts[0] not in _OTHER_PROGRAMS:
            codes |= set(_CODE.findall(path.read_text()))
    assert len(codes) > 70
    for language in LANGUAGES:
        known = set(failures(language))
        assert {f"failure.{code}" for code in codes - _MODEL_SERVERS_OWN} == known, language


def _forms(text: str | dict[str, str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text.values())


def _any(text: str | dict[str, str]) -> str:
    return text if isinstance(text, str) else text["other"]


def test_every_text_that_scripts_and_templates_name_exists() -> None:
    known = set(texts("en"))
    named = set()
    for path in (*_FOLDER.rglob("*.js"), *_FOLDER.rglob("*.html")):
        named |= set(
            re.findall(r"""\b(?:t|text|counted)\(["']([\w.\-]+)["'][,)]""", path.read_text())
        )
    assert len(named) > 100
    assert named - known == set()


def test_every_status_kind_field_and_choice_has_a_text() -> None:
    wanted = {f"status.{each}" for each in (*Status, "timed_out")}
    driver = r'RuntimeHealth\(\w+, "(\w+)"'
    for path in (_FOLDER.parent / "serving" / "drivers").glob("*.py"):
        wanted |= {f"state.{each}" for each in re.findall(driver, path.read_text())}
    # Read and not imported, as it would import torch.
    engine = (_FOLDER.parent / "runtime" / "inference_engine.py").read_text()
    wanted |= {f"state.{each}" for each in re.findall(r'^    [A-Z]+ = "(\w+)"  #', engine, re.M)}
    assert {"state.loading", "state.unreachable"} <= wanted
    wanted |= {f"queue.{each}" for each in (CURATION, GPU)}
    wanted |= {f"method.{each}" for each in _choices(SweepSummary, "method")}
    wanted |= {f"forecast.{each}" for each in _choices(PreflightShown, "verdict")}
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
