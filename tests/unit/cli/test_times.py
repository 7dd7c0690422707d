"""Times are local and say of which zone they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from academy.cli.times import clock, local_time


@pytest.mark.parametrize(
    ("zone", "text", "shown"),
    [
        ("Europe/Warsaw", "2026-12-01T00:37:05.999Z", "2026-12-01 01:37 CET"),
        ("Europe/Warsaw", "2026-07-01T00:37:05+00:00", "2026-07-01 02:37 CEST"),
        ("America/Sao_Paulo", "2026-12-01T00:37:05Z", "2026-11-30 21:37 -03"),
        ("UTC", "2026-12-01T00:37:05", "2026-12-01 00:37 UTC"),
        ("UTC", None, ""),
        ("UTC", "", ""),
    ],
)
def test_a_time_is_local_with_its_zone(
    local_zone: Callable[[str], None], zone: str, text: str | None, shown: str
) -> None:
    local_zone(zone)
    assert local_time(text) == shown


def test_seconds_are_shown_where_they_count(local_zone: Callable[[str], None]) -> None:
    local_zone("Europe/Warsaw")
    assert local_time("2026-12-01T00:37:05.999Z", seconds=True) == "2026-12-01 01:37:05 CET"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (3725, "1:02:05")])
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
