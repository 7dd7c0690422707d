"""What a person sees of a job's events, on a terminal and elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from academy.cli.watch.view import print_events, show
from academy.wire.sse_reading import Event


@pytest.fixture(autouse=True)
def warsaw(local_zone: Any) -> None:
    local_zone("Europe/Warsaw")


def event(kind: str, number: int = 1, **data: Any) -> Event:
    identity = f"1-{number}"
    return Event(identity, kind, {"id": identity, "type": kind, **data})


def test_a_plain_watch_prints_lines_metrics_and_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    status = show(
        [
            Event("", "connected", {}),
            event("status", status="preparing", attempt=2, worker="w-1"),
            event("stage", stage="train", message="120 steps"),
            event("log", message="hello", timestamp="2026-07-01T10:00:00.123Z"),
            event("log", level="noise", message="Loading: 50%|█  | 1/2 [00:01<00:01]"),
            event("log", level="noise", message="Loading: 100%|██| 2/2 [00:02<00:00]"),
            event("metrics", step=1, total_steps=2, loss=3.25, tokens_per_second=131.6),
            event("metrics", step=2, total_steps=2, loss=3.0, learning_rate=2e-4, eta_seconds=0),
            event("evaluation", name="adapter", step=2, rows=44, loss=3.67366),
            event("checkpoint", step=2, digest="sha256:0af8"),
            event("status", status="finished", timestamp="2026-12-01T00:37:05Z"),
        ],
        plain=True,
    )
    assert status == "finished"
    assert capsys.readouterr().out.splitlines() == [
        "== preparing, attempt 2 by w-1",
        "── train: 120 steps",
        "2026-07-01 12:00:00 CEST  hello",
        "step 1/2 · loss 3.250 · 132 tokens/s",
        "step 2/2 · loss 3.000 · learning rate 2.0e-04 · ETA 0:00",
        "Loading: 100%|██| 2/2 [00:02<00:00]",
        "held-out loss of the adapter at step 2: 3.6737 over 44 rows",
        "checkpoint at step 2 sha256:0af8",
        "2026-12-01 01:37:05 CET  == finished",
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


@pytest.mark.parametrize("plain", [True, False])
def test_only_wanted_lines_are_shown(capsys: pytest.CaptureFixture[str], plain: bool) -> None:
    events = [event("log", message="one Thing"), event("log", message="another")]
    show([*events, event("status", status="finished")], plain=plain, containing="THING")
    assert "one Thing" in (out := capsys.readouterr().out)
    assert "another" not in out and "finished" not in out


def test_as_json_each_event_of_the_record_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    events = [event("log", 1, message="a\nb"), event("status", 2, status="cancelled")]
    own = [Event("", "connected", {"type": "connected"}), Event("", "reconnecting", {})]
    assert print_events([*own, *events]) == "cancelled"
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said == [each.data for each in events]
