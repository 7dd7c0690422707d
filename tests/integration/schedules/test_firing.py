"""A due time is one job, however many keepers look and wherever one is killed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from academy.errors import InvalidRequest
from academy.lifecycle import JobKind
from academy.schedules import keeping
from academy.schedules.firing import fire_due
from academy.schedules.request import ScheduleRequest
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs
from academy.store.plans import schedules
from academy.store.plans.schedule_tables import Schedule
from workers.keeper.loop import Keeper

Keep = Callable[..., None]
Show = Callable[[str], Schedule]


def submitted(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return [job.id for job in jobs.page(session, limit=500)]


def test_a_due_schedule_submits_its_request_and_waits_for_its_next_time(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("nightly", request={"repositories": [], "lessons_limit": 7})
    due = show("nightly").next_at
    assert fire_due(sessions, settings) == 1
    assert fire_due(sessions, settings) == 0
    row = show("nightly")
    assert row.next_at == due + timedelta(hours=1)
    assert (row.last_outcome, row.submitted, row.refused) == ("submitted", 1, 0)
    assert row.last_at is not None and row.last_job_id is not None
    with sessions() as session:
        job = jobs.get(session, row.last_job_id, JobKind.CURATION)
        assert job.parameters["lessons_limit"] == 7 and job.created_by == "ci"
        assert [each.reason for each in jobs.transitions(session, job.id)] == ["submitted"]


def test_what_is_not_due_or_disabled_submits_nothing(
    settings: Settings, sessions: Sessions, keep: Keep
) -> None:
    keep("later", late_seconds=-60)
    keep("off", late_seconds=60, enabled=False)
    assert fire_due(sessions, settings) == 0
    assert submitted(sessions) == []


def test_many_keepers_submit_each_due_time_once(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    names = [f"schedule-{number}" for number in range(25)]
    for name in names:
        keep(name)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: fire_due(sessions, settings), range(16)))
    assert sum(counts) == len(names)
    assert sorted(submitted(sessions)) == sorted(str(show(name).last_job_id) for name in names)
    assert {show(name).submitted for name in names} == {1}


def test_a_keeper_that_dies_before_its_commit_leaves_the_time_to_another(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("nightly")
    with sessions() as session:  # takes it and is gone
        assert schedules.take_due(session) is not None
        assert fire_due(sessions, settings) == 0, "two keepers had it at once"
    assert fire_due(sessions, settings) == 1


def test_a_refused_submission_is_kept_with_its_reason_and_comes_again(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("hopeless", kind="training", request={}, late_seconds=1)  # there is no dataset
    keep("fine")
    assert fire_due(sessions, settings) == 1
    row = show("hopeless")
    assert (row.last_outcome, row.submitted, row.refused) == ("refused", 0, 1)
    assert row.last_refusal is not None
    assert row.last_refusal["code"] == "invalid_request"
    assert "no dataset" in row.last_refusal["message"] and row.last_refusal["next_step"]
    assert row.next_at > row.last_at
    assert len(submitted(sessions)) == 1


def test_a_request_that_this_version_no_longer_takes_is_refused_not_fatal(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("old")
    with sessions.begin() as session:
        row = schedules.get(session, "old", locked=True)
        row.request = {"repositories": [], "an_option_of_old": 1}
    assert fire_due(sessions, settings) == 0
    assert "an_option_of_old" in str(show("old").last_refusal)


def test_a_schedule_of_a_kind_that_only_a_newer_version_knows_is_left_to_its_keepers(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("newer", late_seconds=1)
    with sessions.begin() as session:
        row = schedules.get(session, "newer", locked=True)
        row.kind, row.only_if_new = "a_kind_to_come", True
    assert fire_due(sessions, settings) == 0
    assert (show("newer").refused, show("newer").last_refusal) == (0, None)
    with sessions.begin() as session:
        row = schedules.get(session, "newer", locked=True)
        row.kind, row.only_if_new = "curation", False
    assert fire_due(sessions, settings) == 1


def test_a_request_that_its_endpoint_would_refuse_is_refused_whoever_keeps_it(keep: Keep) -> None:
    with pytest.raises(InvalidRequest, match=r"^In request: lessons_limit is -1: .*") as refused:
        keep("wrong", request={"lessons_limit": -1})
    assert [each["pointer"] for each in refused.value.errors] == ["/request/lessons_limit"]


def test_after_an_absence_one_job_is_submitted_for_all_missed_times(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("hourly", late_seconds=10 * 3600 + 1800, missed="once")
    due = show("hourly").next_at
    assert [fire_due(sessions, settings), fire_due(sessions, settings)] == [1, 0]
    assert show("hourly").next_at == due + timedelta(hours=11)


def test_missed_times_can_be_skipped(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("hourly", late_seconds=10 * 3600 + 1800, missed="skip")
    due = show("hourly").next_at
    assert fire_due(sessions, settings) == 0
    row = show("hourly")
    assert (row.last_outcome, row.next_at) == ("skipped", due + timedelta(hours=11))
    assert row.skipped == 1 and row.last_skip is not None
    assert row.last_skip["code"] == "missed" and "300 s" in row.last_skip["message"]
    assert submitted(sessions) == []


def test_a_time_that_is_late_by_no_more_than_its_grace_is_not_missed(
    settings: Settings, sessions: Sessions, keep: Keep
) -> None:
    keep("late", late_seconds=100, missed="skip")
    # Ten times were missed, the eleventh is only 100 seconds late.
    keep("very-late", late_seconds=10 * 3600 + 100, missed="skip")
    keep("strict", late_seconds=100, missed="skip", grace_seconds=60)
    assert fire_due(sessions, settings) == 2


def test_a_cron_schedule_goes_by_postgres_and_its_zone(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("weekly", cron="30 2 * * 1", time_zone="Europe/Warsaw")
    assert fire_due(sessions, settings) == 1
    from zoneinfo import ZoneInfo

    local = show("weekly").next_at.astimezone(ZoneInfo("Europe/Warsaw"))
    assert (local.weekday(), local.hour, local.minute) == (0, 2, 30)


def test_a_zone_that_is_gone_disables_its_schedule_with_the_reason(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show, database_url: str
) -> None:
    keep("odd", cron="0 9 * * *", time_zone="Europe/Warsaw")
    with psycopg.connect(database_url, connect_timeout=10) as connection:
        connection.execute("UPDATE schedules SET time_zone = 'Mars/Olympus'")
    assert fire_due(sessions, settings) == 0
    row = show("odd")
    assert not row.enabled and "Mars/Olympus" in str(row.last_refusal)


def test_a_changed_timing_starts_anew_and_an_unchanged_one_keeps_its_time(
    sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("nightly", late_seconds=-600)
    next_at = show("nightly").next_at
    given = {"kind": "curation", "request": {"repositories": [], "seed": 3}}
    with sessions.begin() as session:
        same = ScheduleRequest.model_validate({**given, "every": 3600})
        assert keeping.replace(session, "nightly", same, "ci").next_at == next_at
    with sessions.begin() as session:
        other = ScheduleRequest.model_validate({**given, "every": "2h"})
        changed = keeping.replace(session, "nightly", other, "ci").next_at
    assert changed - next_at > timedelta(minutes=100)


def test_a_schedule_that_is_enabled_again_does_not_catch_up(
    settings: Settings, sessions: Sessions, keep: Keep
) -> None:
    keep("off", late_seconds=50_000, enabled=False)
    with sessions.begin() as session:
        wanted = {"kind": "curation", "every": "1h", "request": {"repositories": []}}
        keeping.replace(session, "off", ScheduleRequest.model_validate(wanted), "ci")
    assert fire_due(sessions, settings) == 0


@pytest.mark.parametrize("values", [{}, {"every": 60, "cron": "* * * * *"}])
def test_a_schedule_has_exactly_one_timing(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="exactly one of 'every' and 'cron'"):
        ScheduleRequest.model_validate({"kind": "curation", **values})


def test_the_keeper_submits_and_hints_in_one_sweep(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("nightly")
    Keeper(settings, sessions).sweep()
    assert show("nightly").submitted == 1
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        waiting = connection.execute("SELECT count(*) FROM hints WHERE published_at IS NULL")
        assert waiting.fetchone() == (0,)


@pytest.mark.parametrize("name", ["", "Nightly", "two words", "-x", "x" * 64, "nightly\n"])
def test_a_name_is_held_to_its_rule_whoever_makes_the_schedule(
    sessions: Sessions, name: str
) -> None:
    with pytest.raises(InvalidRequest) as refused, sessions.begin() as session:
        keeping.create(session, name, ScheduleRequest(kind="curation", every=60.0), None)
    assert refused.value.errors[0]["pointer"] == "/name"
