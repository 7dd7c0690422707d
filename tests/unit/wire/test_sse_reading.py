"""Server-sent events are read with their ids, and pings only by those who ask for them."""

from __future__ import annotations

from academy.wire.sse_reading import Event, read_events


def test_server_sent_events_are_read_with_ids_comments_and_split_data() -> None:
    lines = [
        ": ping",
        "",
        "id: 1-7",
        "event: log",
        'data: {"message":',
        'data: "two lines"}',
        "",
        'data: {"type": "status", "status": "finished"}',
        "",
        "data: [DONE]",
        "",
        'data: {"never": "seen"}',
        "",
    ]
    first, second = read_events(iter(lines))
    assert first == Event("1-7", "log", {"message": "two lines"})
    assert (second.id, second.type) == ("", "status")


def test_pings_are_events_for_those_who_ask() -> None:
    lines = [": ping", "", "id: 1-1", 'data: {"type": "log"}', "", ": ping"]
    kinds = [each.type for each in read_events(iter(lines), pings=True)]
    assert kinds == ["ping", "log", "ping"]
    assert [each.type for each in read_events(iter(lines))] == ["log"]
