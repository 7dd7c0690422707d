"""Every watcher gets every event once, in order, whatever is restarted or flushed meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis

from academy.errors import InvalidRequest
from academy.events import archive, stream
from academy.events.closing import close_events
from academy.events.event import START, Event, EventId
from academy.events.hub import Hub
from academy.events.sender import EventSender
from academy.events.sources import FutureCursor
from academy.lifecycle import Status
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from tests import reading
from tests.waiting import until


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    made = stream.connect(settings)
    yield made
    made.close()


@pytest.fixture
def hub(settings: Settings, sessions: Sessions) -> Iterator[Hub]:
    with Hub(settings, sessions) as made:
        yield made


def write(
    settings: Settings, sessions: Sessions, job_id: str, lines: int, *, attempt: int = 1, end: bool
) -> None:
    with EventSender(settings, sessions) as sender, sender.open(job_id, attempt) as events:
        for number in range(lines):
            events.emit("log", message=f"line {number}")
        if end:
            events.emit("status", status=Status.FINISHED)


def watch(hub: Hub, job_id: str, after: EventId | None = None) -> list[Event]:
    return [event for batch in hub.watch(hub.job(job_id), after) for event in batch]


def looks(client: redis.Redis) -> int:
    """How many pages of a stream the server gave since its statistics were reset."""
    return int(client.info("commandstats").get("cmdstat_xrange", {}).get("calls", 0))


def ids(events: list[Event]) -> list[str]:
    return [str(event.id) for event in events]


def expected(attempt: int, count: int) -> list[str]:
    return [f"{attempt}-{seq}" for seq in range(1, count + 1)]


def test_late_and_live_watchers_get_every_event_once_in_order(
    hub: Hub, settings: Settings, sessions: Sessions, job_id: str
) -> None:
    seen: dict[int, list[Event]] = {}

    def follow(number: int) -> None:
        seen[number] = watch(hub, job_id)

    live = [threading.Thread(target=follow, args=(number,)) for number in range(5)]
    for thread in live:
        thread.start()
    write(settings, sessions, job_id, 2500, end=True)
    for thread in live:
        thread.join(timeout=30)
    seen[99] = watch(hub, job_id)
    assert len(seen) == 6
    for events in seen.values():
        assert ids(events) == expected(1, 2501)
        assert events[-1].is_last


def test_a_watcher_that_reconnects_five_times_misses_and_repeats_nothing(
    hub: Hub, settings: Settings, sessions: Sessions, job_id: str
) -> None:
    writer = threading.Thread(
        target=write, args=(settings, sessions, job_id, 600), kwargs={"end": True}
    )
    writer.start()
    seen: list[Event] = []
    for _ in range(5):
        for batch in hub.watch(hub.job(job_id), seen[-1].id if seen else None):
            seen.extend(batch[:60])
            if batch:
                break
    seen.extend(watch(hub, job_id, seen[-1].id))
    writer.join(timeout=30)
    assert ids(seen) == expected(1, 601)


def test_the_archive_answers_when_redis_was_flushed(
    hub: Hub, settings: Settings, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    write(settings, sessions, job_id, 300, end=True)
    client.flushall()
    assert ids(watch(hub, job_id)) == expected(1, 301)
    assert ids(watch(hub, job_id, EventId(1, 299))) == ["1-300", "1-301"]


def test_a_flush_in_the_middle_loses_nothing(
    hub: Hub, settings: Settings, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    seen: list[Event] = []
    follower = threading.Thread(target=lambda: seen.extend(watch(hub, job_id)))
    follower.start()
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        for number in range(100):
            events.emit("log", message=str(number))
            if number == 50:
                client.flushall()
        events.emit("status", status=Status.FINISHED)
    follower.join(timeout=30)
    assert ids(seen) == expected(1, 101)


def test_a_watcher_that_comes_after_a_flush_waits_for_what_is_on_its_way_to_the_archive(
    hub: Hub, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    every = [Event(EventId(1, n), "log", "now", {}) for n in range(1, 6)]
    every.append(Event(EventId(1, 6), "status", "now", {"status": Status.FINISHED}))
    stream.append(client, job_id, every[3:])  # the others went with the flush
    seen: list[Event] = []
    follower = threading.Thread(target=lambda: seen.extend(watch(hub, job_id)))
    client.config_resetstat()
    follower.start()
    until(lambda: looks(client) >= 3, 10, "the watcher looks", poll=0.005)
    with sessions.begin() as session:
        archive.append(session, job_id, every[:3])
    follower.join(timeout=30)
    assert ids(seen) == expected(1, 6)


def test_a_job_that_ends_between_two_looks_at_it_is_seen_to_its_end(
    settings: Settings, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    class Late(Hub):
        """A hub whose look at the stream comes before the job's first event."""

        def _closed(self, job_ids: list[str]) -> set[str]:
            if archive_is_empty():
                with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
                    events.emit("log", message="only")
                    events.emit("status", status=Status.FINISHED)
                with sessions.begin() as session:
                    jobs.close_events(session, job_id)
            return super()._closed(job_ids)

    def archive_is_empty() -> bool:
        with sessions() as session:
            return archive.last_id(session, job_id) == START

    with Late(settings, sessions) as hub:
        assert ids(watch(hub, job_id)) == expected(1, 2)


def test_a_second_attempt_follows_the_first_and_zombies_are_refused(
    hub: Hub, settings: Settings, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    write(settings, sessions, job_id, 3, end=False)
    write(settings, sessions, job_id, 2, attempt=2, end=True)
    zombie = Event(EventId(1, 4), "log", "now", {"message": "from the grave"})
    stream.append(client, job_id, [zombie])
    events = watch(hub, job_id)
    assert ids(events) == [*expected(1, 3), *expected(2, 3)]


def test_what_a_killed_writer_left_in_the_stream_is_archived_by_the_next(
    settings: Settings, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    stream.append(client, job_id, [Event(EventId(1, n), "log", "now", {}) for n in range(1, 6)])
    write(settings, sessions, job_id, 1, attempt=2, end=True)
    client.flushall()
    found = reading.said(settings, sessions, job_id)
    assert ids(found) == [*expected(1, 5), *expected(2, 2)]


def test_events_wait_while_redis_is_away_and_are_archived_all_the_same(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:

    nowhere = settings.changed(redis_url="redis://127.0.0.1:1/0")
    write(nowhere, sessions, job_id, 10, end=True)
    assert ids(reading.archived(settings, sessions, job_id)) == expected(1, 11)


def test_a_job_cancelled_in_the_queue_gets_its_terminal_status_once(
    hub: Hub, settings: Settings, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    with sessions.begin() as session:
        transitions.request_cancel(session, job_id)
    close_events(sessions, client, job_id)
    close_events(sessions, client, job_id)
    events = watch(hub, job_id)
    assert [(event.type, event.fields["status"]) for event in events] == [("status", "cancelled")]
    assert watch(hub, job_id, events[-1].id) == []


def test_an_idle_watcher_gets_an_empty_batch_for_its_ping(
    hub: Hub, settings: Settings, sessions: Sessions, job_id: str
) -> None:
    watching = hub.watch(hub.job(job_id))
    assert next(watching) == []
    watching.close()


def test_events_that_are_gone_for_good_are_announced(
    hub: Hub, settings: Settings, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    lost = [Event(EventId(1, n), "log", "now", {}) for n in (5, 6)]
    end = Event(EventId(1, 7), "status", "now", {"status": Status.FINISHED})
    stream.append(client, job_id, [*lost, end])
    events = watch(hub, job_id)
    assert [event.type for event in events] == ["truncated", "log", "log", "status"]


@pytest.mark.parametrize("text", ["", "1", "a-b", "1-", "-1", "1-2-3", "9" * 40 + "-1"])
def test_a_cursor_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="event id"):
        EventId.parse(text)


def test_a_flush_whose_answer_was_lost_is_repeated_with_what_came_since(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:
    events = [Event(EventId(1, n), "log", "now", {"message": str(n)}) for n in range(1, 6)]
    for known in (3, 5, 2):
        archive.store(sessions, [(job_id, events[:known])])
    assert ids(reading.archived(settings, sessions, job_id)) == expected(1, 5)


def test_a_message_that_is_no_text_stops_nothing(
    settings: Settings, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        events.emit("log", message="a file named \udcff, and ż")
        events.emit("status", status=Status.FINISHED)
    found = reading.said(settings, sessions, job_id)
    assert [event.fields.get("message") for event in found] == ["a file named ?, and ż", None]
    with sessions() as session:
        assert jobs.get(session, job_id).events_closed_at is not None


def test_a_later_attempt_is_archived_though_redis_is_away(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:

    nowhere = settings.changed(redis_url="redis://127.0.0.1:1/0")
    write(nowhere, sessions, job_id, 10, attempt=2, end=False)
    assert ids(reading.archived(settings, sessions, job_id)) == expected(2, 10)


def test_a_damaged_stream_of_an_earlier_attempt_keeps_no_event_back(
    settings: Settings, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    client.xadd(stream.key_of(job_id), {"e": "no json"}, id="1-1")
    write(settings, sessions, job_id, 2, attempt=2, end=True)
    assert ids(reading.archived(settings, sessions, job_id)) == expected(2, 3)


def test_a_cursor_that_redis_forgot_is_waited_for_and_one_of_no_attempt_is_not(
    hub: Hub, sessions: Sessions, job_id: str, client: redis.Redis
) -> None:
    """Redis came back with what it had a second ago; the writer brings the rest to the archive."""
    events = [Event(EventId(1, n), "log", "now", {"message": str(n)}) for n in range(1, 6)]
    stream.append(client, job_id, events[:3])
    with sessions.begin() as session:
        assert transitions.claim(session, "gpu", "worker-1", 60.0) is not None
    asked, answered = threading.Event(), threading.Event()

    def resume() -> None:
        asked.set()
        hub.require_past(job_id, EventId(1, 5))
        answered.set()

    watcher = threading.Thread(target=resume)
    watcher.start()
    assert asked.wait(20)
    archive.store(sessions, [(job_id, events)])
    watcher.join(timeout=20)
    assert answered.is_set()
    with pytest.raises(FutureCursor, match="1-6"):
        hub.require_past(job_id, EventId(1, 6))
    with pytest.raises(FutureCursor, match="the last one that there is is 1-5"):
        hub.require_past(job_id, EventId(2, 1))


def test_the_lines_of_all_attempts_have_one_limit(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:
    small = settings.changed(log_bytes=2000)
    write(small, sessions, job_id, 100, attempt=1, end=False)  # 690 bytes of lines
    with EventSender(small, sessions) as sender, sender.open(job_id, 2) as events:
        events.emit("status", status=Status.RUNNING)
        until(lambda: not events.leftovers, 10, "the earlier attempt is counted")
        for number in range(300):
            events.emit("log", message=f"line {number}")
        events.emit("status", status=Status.FINISHED)
    second = [each for each in reading.archived(small, sessions, job_id) if each.id.attempt == 2]
    logged = [each.fields["message"] for each in second if each.type == "log"]
    assert sum(map(len, logged[:-2])) <= 2000 - 690 < sum(map(len, logged[:-2])) + 9
    assert logged[-2].startswith("The log has reached 2000 bytes")
    assert logged[-1] == f"{300 - len(logged) + 2} lines were left out of the log."
    assert second[-1].is_last
