"""The log of a job that is over moves into one object, and nobody who reads it can tell."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
from pathlib import Path

import psycopg
import pytest

from academy.artifacts.store import ArtifactStore, StorageFailure
from academy.events import archive, history, moving, replay, stream
from academy.events.event import Event, EventId
from academy.events.hub import Hub
from academy.events.objects import LogObjects
from academy.events.sender import EventSender
from academy.lifecycle import Status
from academy.ops import garbage
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.events import chunks
from academy.store.jobs import jobs
from tests import reading


def write(settings: Settings, sessions: Sessions, job_id: str, *lines: int) -> list[Event]:
    """So many lines in each attempt, of which the last one ends the job; what there is then."""
    for attempt, count in enumerate(lines, start=1):
        with EventSender(settings, sessions) as sender, sender.open(job_id, attempt) as events:
            for number in range(count):
                events.emit("log", message=f"line {number} of attempt {attempt}")
                if number % 100 == 50:
                    events.emit("metrics", step=number, loss=1.0 / number)
            if attempt == len(lines):
                events.emit("status", status=Status.FINISHED)
    stream.shared(settings).delete(stream.key_of(job_id))
    return reading.said(settings, sessions, job_id)


def move(settings: Settings, sessions: Sessions, job_id: str) -> bool:
    return moving.move(settings, sessions, LogObjects(settings), job_id)


def rows(settings: Settings, job_id: str) -> list[tuple[int, int, int, bool, bool]]:
    """Attempt, first, last, whether the table has it, and whether it stays, of each run."""
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        return connection.execute(
            "SELECT attempt, first_seq, last_seq, data IS NOT NULL, stays FROM event_chunks"
            " WHERE job_id = %s ORDER BY attempt, first_seq",
            (job_id,),
        ).fetchall()


def objects(settings: Settings) -> list[Path]:
    root = ArtifactStore(settings).local_root
    assert root is not None
    return sorted(root.glob("logs/*/events.jsonl.gz"))


def lines(events: list[Event]) -> list[bytes]:
    return [event.line for event in events]


def test_all_but_the_last_events_are_one_object_that_zcat_reads(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:
    before = write(settings, sessions, job_id, 2500, 3, 1700)
    assert move(settings, sessions, job_id)
    [path] = objects(settings)
    with gzip.open(path) as file:
        inside = file.read().splitlines()
    assert inside == lines(before)[:-200]
    assert lines(reading.said(settings, sessions, job_id)) == lines(before)
    last = before[-1].id
    assert rows(settings, job_id) == [
        (1, 1, 1000, False, False),
        (1, 1001, 2000, False, False),
        (1, 2001, 2525, False, False),
        (2, 1, 3, False, False),
        # A page ends at a thousand events, whichever attempts they are of.
        (3, 1, 472, False, False),
        (3, 473, 1472, False, False),
        (3, 1473, last.seq - 200, False, False),
        (3, last.seq - 199, last.seq, True, True),
    ]
    with sessions() as session:
        assert chunks.movable(session, closed_before_seconds=0, most=9) == []


@pytest.mark.parametrize("after", ["0-0", "1-1", "1-999", "1-1000", "1-1001", "2-0", "2-150"])
@pytest.mark.parametrize("count", [1, 7, 1000, 5000])
def test_every_cursor_and_count_gives_the_same_page_as_before(
    settings: Settings, sessions: Sessions, job_id: str, after: str, count: int
) -> None:
    write(settings, sessions, job_id, 1300, 900)
    held, cursor = reading.connections(settings, sessions), EventId.parse(after)
    before = replay.read(held, job_id, cursor, count)
    assert move(settings, sessions, job_id)
    after_it = replay.read(held, job_id, cursor, count)
    assert lines(after_it.events) == lines(before.events)
    assert after_it.gap == before.gap


def test_a_watcher_and_a_search_get_the_same_from_the_object(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:
    before = write(settings, sessions, job_id, 1500)
    assert move(settings, sessions, job_id)
    with Hub(settings, sessions) as hub:
        got = [each for batch in hub.watch(hub.job(job_id), EventId(1, 700)) for each in batch]
    assert lines(got) == lines(before)[700:]
    held = reading.connections(settings, sessions)
    found = history.log_page(held, job_id, EventId(0, 0), 100, "line 123")
    assert [each["message"] for each in found.lines] == [
        f"line {number} of attempt 1" for number in (123, *range(1230, 1240))
    ]


def test_a_short_log_stays_and_so_does_one_that_goes_on(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:
    write(settings, sessions, job_id, 150, 190)
    with sessions() as session:
        assert chunks.movable(session, closed_before_seconds=0, most=9) == []
    with EventSender(settings, sessions) as sender, sender.open(job_id, 3) as events:
        for number in range(1200):
            events.emit("log", message=str(number))
    with sessions.begin() as session:
        jobs.get(session, job_id).events_closed_at = None
    with sessions() as session:
        assert chunks.movable(session, closed_before_seconds=0, most=9) == []


def test_several_keepers_make_one_object_of_it(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:
    before = write(settings, sessions, job_id, 2500)
    done: list[bool] = []
    threads = [
        threading.Thread(target=lambda: done.append(move(settings, sessions, job_id)))
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert done.count(True) == 1 and len(done) == 4
    assert len(objects(settings)) == 1
    assert lines(reading.said(settings, sessions, job_id)) == lines(before)


def test_one_who_is_killed_before_naming_the_object_leaves_the_log_and_garbage(
    settings: Settings, sessions: Sessions, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(settings, sessions, job_id, 1500)
    kept = rows(settings, job_id)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> bool:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(chunks, "move", killed)
        with pytest.raises(Killed):
            move(settings, sessions, job_id)
    assert rows(settings, job_id) == kept
    assert not list((settings.home / "work" / "logs").iterdir())
    [path] = objects(settings)
    store = ArtifactStore(settings)
    assert garbage.collect(store, sessions, grace_seconds=3600) == []
    assert move(settings, sessions, job_id)
    assert objects(settings) == [path]
    assert garbage.collect(store, sessions, grace_seconds=0) == []
    assert lines(reading.said(settings, sessions, job_id)) == lines(before)
    with sessions.begin() as session:
        archive.keep_only_the_end(session, job_id)
    assert garbage.collect(store, sessions, grace_seconds=0) == [f"logs/{path.parent.name}"]
    left = reading.said(settings, sessions, job_id)
    assert [each.type for each in left] == ["truncated", "status"]


def test_what_comes_late_is_read_with_the_rest_and_moved_with_it(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:
    before = write(settings, sessions, job_id, 1500)
    assert move(settings, sessions, job_id)
    # A worker that stood still for long repeats a flush, of more than what was stored under it.
    with sessions.begin() as session:
        archive.append(session, job_id, before[:1400])
    assert lines(reading.said(settings, sessions, job_id)) == lines(before)
    late = [Event(EventId(2, n), "log", "now", {"message": str(n)}) for n in range(1, 302)]
    with sessions.begin() as session:
        archive.append(session, job_id, late)
        assert chunks.movable(session, closed_before_seconds=0, most=9) == [job_id]
    assert move(settings, sessions, job_id)
    assert lines(reading.said(settings, sessions, job_id)) == lines([*before, *late])
    assert [row[:3] for row in rows(settings, job_id)][-2:] == [(2, 1, 101), (2, 102, 301)]
    assert len(objects(settings)) == 2  # of which garbage takes the first
    assert len(garbage.collect(ArtifactStore(settings), sessions, grace_seconds=0)) == 1
    assert lines(reading.said(settings, sessions, job_id)) == lines([*before, *late])


def test_events_that_came_while_it_was_read_make_it_wait(
    settings: Settings, sessions: Sessions, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(settings, sessions, job_id, 1500)
    late = [Event(EventId(2, 1), "log", "now", {"message": "late"})]
    inner = chunks.move

    def append_first(*given: object) -> bool:
        with sessions.begin() as session:
            archive.append(session, job_id, late)
        return inner(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(chunks, "move", append_first)
        assert not move(settings, sessions, job_id)
    assert lines(reading.said(settings, sessions, job_id)) == lines([*before, *late])
    assert move(settings, sessions, job_id)
    assert lines(reading.said(settings, sessions, job_id)) == lines([*before, *late])


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.unlink()  # it may be linked elsewhere
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (damage, "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: shutil.rmtree(path.parent), "No such file"),
    ],
)
def test_an_object_that_cannot_be_read_is_told_and_the_end_is_there_all_the_same(
    settings: Settings, sessions: Sessions, job_id: str, harm, why: str
) -> None:
    before = write(settings, sessions, job_id, 2500)
    assert move(settings, sessions, job_id)
    [path] = objects(settings)
    harm(path)
    with pytest.raises(StorageFailure, match=f"did not give 'logs/.*{why}"):
        reading.said(settings, sessions, job_id)
    held = reading.connections(settings, sessions)
    with sessions() as session:
        tail = history.last_lines(held, jobs.get(session, job_id))
        assert archive.last_event(session, job_id) == before[-1]
    assert tail.lines[-1] == "line 2499 of attempt 1" and len(tail.lines) == 50
    assert tail.last_event_id == str(before[-1].id)
    assert [each["step"] for each in history.series(held, job_id, None)["metrics"]][:2] == [50, 150]
    rest = replay.read(held, job_id, EventId(1, before[-1].id.seq - 200), 1000)
    assert lines(rest.events) == lines(before)[-200:]


def test_a_log_that_lost_its_beginning_keeps_the_announcement(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:
    every = [Event(EventId(1, n), "log", "now", {"message": str(n)}) for n in range(1, 3001)]
    end = Event(EventId(1, 3001), "status", "now", {"status": Status.FINISHED})
    with sessions.begin() as session:
        archive.append(session, job_id, every[500:1200])
        archive.append(session, job_id, [*every[2000:], end])
    before = reading.said(settings, sessions, job_id)
    assert [each.type for each in before].count("truncated") == 2
    assert move(settings, sessions, job_id)
    after = reading.said(settings, sessions, job_id)
    assert [(each.id, each.type) for each in after] == [(each.id, each.type) for each in before]


def test_the_objects_lines_are_the_events_as_json(
    settings: Settings, sessions: Sessions, job_id: str
) -> None:
    write(settings, sessions, job_id, 400)
    assert move(settings, sessions, job_id)
    [path] = objects(settings)
    first = json.loads(gzip.decompress(path.read_bytes()).splitlines()[0])
    assert first["message"] == "line 0 of attempt 1" and first["id"] == "1-1"
