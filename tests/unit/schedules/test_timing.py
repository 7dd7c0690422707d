"""When schedules are due, above all where a wall clock jumps or shows an hour twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from academy.schedules.timing import Timing, parse_cron, parse_every, parse_zone


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def due_times(cron: str, time_zone: str, after: str, count: int) -> list[str]:
    timing = Timing(None, cron, time_zone)
    moment, found = at(after), []
    for _ in range(count):
        moment = timing.after(moment, due=moment)
        found.append(moment.isoformat()[:16])
    return found


def test_a_cron_expression_follows_the_wall_clock_of_its_zone() -> None:
    # Warsaw is an hour ahead of UTC in winter and two in summer.
    assert due_times("0 9 * * *", "Europe/Warsaw", "2026-01-10T00:00Z", 1) == ["2026-01-10T08:00"]
    assert due_times("0 9 * * *", "Europe/Warsaw", "2026-07-10T00:00Z", 1) == ["2026-07-10T07:00"]


def test_a_fixed_time_inside_the_gap_is_due_once_right_after_it() -> None:
    # On 29 March 2026 the clock in Warsaw goes from 02:00 to 03:00, which is 01:00 UTC.
    found = due_times("30 2 * * *", "Europe/Warsaw", "2026-03-28T12:00Z", 2)
    assert found == ["2026-03-29T01:00", "2026-03-30T00:30"]


def test_a_fixed_time_in_the_doubled_hour_is_due_the_first_time_only() -> None:
    # On 25 October 2026 02:30 comes at 00:30 and at 01:30 UTC.
    found = due_times("30 2 * * *", "Europe/Warsaw", "2026-10-24T12:00Z", 2)
    assert found == ["2026-10-25T00:30", "2026-10-26T01:30"]


def test_every_half_hour_is_due_in_both_of_the_doubled_hours_and_not_in_the_gap() -> None:
    found = due_times("*/30 * * * *", "Europe/Warsaw", "2026-10-24T23:45Z", 5)
    assert found == [f"2026-10-25T{each}" for each in ("00:00", "00:30", "01:00", "01:30", "02:00")]
    found = due_times("*/30 2 * * *", "Europe/Warsaw", "2026-03-28T12:00Z", 1)
    assert found == ["2026-03-30T00:00"]


def test_a_time_asked_for_inside_the_doubled_hour_is_never_in_the_past() -> None:
    # 02:10 for the second time; 02:30 was already due 40 minutes ago.
    found = due_times("30 2 * * *", "Europe/Warsaw", "2026-10-25T01:10Z", 1)
    assert found == ["2026-10-26T01:30"]


def test_midnight_exists_again_after_a_gap_at_midnight() -> None:
    # In Beirut midnight of 29 March 2026 does not exist.
    found = due_times("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00Z", 2)
    assert found == ["2026-03-28T22:00", "2026-03-29T21:00"]


@given(
    moment=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
    cron=st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15 1,2,3 * * 0", "* 2 * * *"]),
    time_zone=st.sampled_from(["UTC", "Europe/Warsaw", "America/Havana", "Australia/Lord_Howe"]),
)
def test_the_next_time_of_a_cron_expression_is_always_later(
    moment: datetime, cron: str, time_zone: str
) -> None:
    moment = moment.replace(tzinfo=UTC)
    assert Timing(None, cron, time_zone).after(moment, due=moment) > moment


def test_an_interval_keeps_its_step_however_late_it_is_asked() -> None:
    timing, start = Timing(3600.0, None), at("2026-03-29T00:20Z")
    assert timing.after(start, due=start) == start + timedelta(hours=1)
    late = start + timedelta(hours=30, minutes=5)
    assert timing.after(late, due=start) == start + timedelta(hours=31)
    assert timing.after(start + timedelta(hours=2), due=start) == start + timedelta(hours=3)
    assert timing.after(start - timedelta(hours=3), due=start) == start


@given(
    seconds=st.floats(1, 31_622_400),
    passed=st.integers(0, 10**15),
)
def test_the_next_time_of_an_interval_is_later_by_at_most_one_interval(
    seconds: float, passed: int
) -> None:
    start = at("2026-01-01T00:00Z")
    moment = start + timedelta(microseconds=passed)
    wait = (Timing(seconds, None).after(moment, due=start) - moment).total_seconds()
    assert 0 < wait <= seconds + 1e-3


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(90, 90.0), (1.5, 1.5), ("90s", 90.0), ("6h", 21600.0), ("1h30m", 5400.0), ("2w", 1209600.0)],
)
def test_intervals_are_seconds_or_texts(value: object, seconds: float) -> None:
    assert parse_every(value) == seconds


@pytest.mark.parametrize("value", [0, 0.5, -1, 4e7, True, "", "6", "h", "6 h", "6H", "9" * 40, []])
def test_what_is_no_interval_is_refused_with_what_is_allowed(value: object) -> None:
    with pytest.raises(ValueError, match="such as '6h'"):
        parse_every(value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 * * * * *", "6 fields"),
        ("61 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("0 0 30 2 *", "day-of-month"),
        ("0 0 31 2,4 *", "day-of-month"),
        ("@daily", "1 fields"),
        ("0 0 */20 * 1L", "fifty years"),
    ],
)
def test_what_is_no_cron_expression_is_refused_with_the_reason(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_cron(text)


@pytest.mark.parametrize("name", ["Europe/Warszawa", "", "../etc/passwd", "localtime", "CET+1"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="IANA name"):
        parse_zone(name)


def test_a_misspelt_zone_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match="did you mean 'Europe/Warsaw'"):
        parse_zone("Europe/Warshaw")
