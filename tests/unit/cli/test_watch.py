"""What a person sees of a job's events."""

from __future__ import annotations

from typing import Any

import pytest

from academy.cli.watch import clock, show, summary
from academy.client import Event, read_events


def event(kind: str, **data: Any) -> Event:
    return Event("1-1", kind, data)


def test_a_plain_watch_prints_lines_metrics_and_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    status = show(
        [
            event("connected"),
            event("stage", stage="train", message="120 steps"),
            event("log", message="hello"),
            event("metrics", step=1, total_steps=2, loss=3.25, tokens_per_second=131.6),
            event("metrics", step=2, total_steps=2, loss=3.0, eta_seconds=0),
            event("status", status="finished"),
        ],
        plain=True,
    )
    assert status == "finished"
    assert capsys.readouterr().out.splitlines() == [
        "── train: 120 steps",
        "hello",
        "step 1/2 · loss 3.250 · 132 tokens/s",
        "step 2/2 · loss 3.000 · ETA 0:00",
        "== finished",
    ]


def test_a_live_watch_shows_progress_loss_and_eta(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"step": 5, "total_steps": 20, "progress": 0.25, "loss": 2.5, "eta_seconds": 75}
    failure = {"code": "out_of_memory", "message": "No memory.", "next_step": "Use less."}
    status = show(
        [event("metrics", **metrics), event("status", status="failed", failure=failure)],
        plain=False,
    )
    out = capsys.readouterr().out
    assert status == "failed"
    assert "25%" in out and "loss 2.500" in out and "ETA 1:15" in out
    assert "== failed: No memory. Use less." in out


def test_missing_metrics_are_left_out() -> None:
    assert summary({"step": 1}) == "step 1/?"
    assert summary({}) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (3725, "1:02:05")])
def test_times_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


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
