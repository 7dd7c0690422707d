"""The small parts of the API that need no server."""

from __future__ import annotations

import pytest
from flask import Flask

from academy.access.keys import Principal, Role
from academy.api.data.curation import preferred_wait
from academy.api.ops.gpus import shown
from academy.errors import Forbidden, InvalidRequest
from academy.events.history import thinned
from academy.host.gpus import parse_gpus
from academy.web.json_provider import Json, finite
from academy.web.paging import PageQuery, cursor_of, page_of


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 25.0),
        ("wait=5", 5.0),
        ("respond-async, wait=10", 10.0),
        ('wait="7"', 7.0),
        ("Wait = 3", 3.0),
        ("wait=1000", 60.0),
        ("return=minimal", 25.0),
    ],
)
def test_the_preferred_wait_is_read_and_bounded(header: str, seconds: float) -> None:
    assert wait_of(header) == seconds


def wait_of(header: str) -> float:
    with Flask("test").test_request_context(headers={"Prefer": header}):
        return preferred_wait()


@pytest.mark.parametrize("header", ["wait", "wait=", "wait=-1", "wait=soon", "wait=1.5"])
def test_a_wait_that_is_no_number_of_seconds_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequest, match="whole number"):
        wait_of(header)


def test_a_role_may_do_what_the_ones_before_it_may() -> None:
    assert Role.ADMIN.includes(Role.VIEWER) and Role.VIEWER.includes(Role.VIEWER)
    assert not Role.VIEWER.includes(Role.OPERATOR)
    Principal("k", "n", Role.OPERATOR).require(Role.VIEWER)
    with pytest.raises(Forbidden, match="'operator'; this needs the role 'admin'"):
        Principal("k", "n", Role.OPERATOR).require(Role.ADMIN)


def test_json_answers_have_no_nan_and_iso_times() -> None:
    written = Json(Flask("test")).dumps({"b": float("nan"), "a": [float("inf"), 1.5], "ü": 1})
    assert written == '{"b": null, "a": [null, 1.5], "ü": 1}'
    assert finite({"a": (float("-inf"),)}) == {"a": [None]}


def test_the_devices_of_the_status_are_those_of_nvidia_smi() -> None:
    text = "GPU-1, NVIDIA H200, 570.1, 143771, 512, 37\nGPU-2, Old, 570.1, 2048, 0, [N/A]\nrest\n"
    first, second = (shown(index, gpu) for index, gpu in enumerate(parse_gpus(text)))
    assert first == {
        "index": 0,
        "uuid": "GPU-1",
        "name": "NVIDIA H200",
        "memory_total_bytes": 143771 << 20,
        "memory_used_bytes": 512 << 20,
        "utilization_percent": 37,
    }
    assert (second["index"], second["utilization_percent"]) == (1, None)


def test_a_series_is_thinned_evenly_with_both_ends() -> None:
    rows = [{"step": n} for n in range(100)]
    thin = thinned(rows, 12)
    assert len(thin) == 12
    assert (thin[0]["step"], thin[-1]["step"]) == (0, 99)
    assert thinned(rows, None) is rows and thinned(rows[:5], 12) == rows[:5]


def test_a_page_knows_whether_there_is_more() -> None:
    rows = [type("Row", (), {"id": f"ü{n}"}) for n in range(5)]

    def fetch(limit: int, after: str | None) -> list[object]:
        start = 0 if after is None else [row.id for row in rows].index(after) + 1
        return list(rows[start : start + limit + 1])

    first = page_of(PageQuery(limit=3), fetch)
    assert (len(first.rows), first.has_more, first.next) == (3, True, cursor_of("ü2"))
    rest = page_of(PageQuery(limit=3, after=first.next), fetch)
    assert ([row.id for row in rest.rows], rest.has_more, rest.next) == (["ü3", "ü4"], False, None)
    for cursor in ("!", "a", "AA", "____"):
        with pytest.raises(InvalidRequest, match="no cursor"):
            page_of(PageQuery(after=cursor), fetch)
