"""What a kind of job declares, and how a wrong name or declaration is refused."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from academy import lifecycle
from academy.jobs import kinds
from academy.jobs.kinds import KindMisdeclared, UnknownKind
from academy.lifecycle import JobKind


@pytest.fixture(autouse=True)
def _asked_afresh() -> Iterator[None]:
    kinds.of.cache_clear()
    yield
    kinds.of.cache_clear()


def test_every_kind_that_is_named_is_declared() -> None:
    assert [kind.name for kind in kinds.every()] == list(lifecycle.JobKind)
    assert kinds.names(kinds.of_queue("gpu")) == ("training",)
    assert kinds.names(kinds.of_queue("curation")) == ("curation",)
    assert kinds.of_queue("tpu") == []


@pytest.mark.parametrize("name", ["", "trainin", "TRAINING", "training "])
def test_an_unknown_kind_is_refused_with_those_that_are_there(name: str) -> None:
    with pytest.raises(UnknownKind, match=rf"no kind of job '{name}'; there are curation, train"):
        kinds.of(name)


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (None, "has no attribute 'KIND'"),
        ("training", "its KIND is 'training'"),
        ({"name": JobKind.CURATION}, "its KIND is <JobKind.CURATION: 'curation'>"),
        ({"queue": "tpu"}, "no queue 'tpu', only curation, gpu"),
    ],
)
def test_a_wrong_declaration_is_named_with_its_module(
    declared: object, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = kinds.of("training")
    kinds.of.cache_clear()
    module = ModuleType("academy.training.kind")
    if isinstance(declared, dict):
        module.KIND = dataclasses.replace(right, **declared)  # type: ignore[attr-defined]
    elif declared is not None:
        module.KIND = declared  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "academy.training.kind", module)
    with pytest.raises(KindMisdeclared) as refused:
        kinds.of("training")
    assert "'training' is declared wrongly in academy.training.kind" in str(refused.value)
    assert why in str(refused.value)
