"""The figures of a job as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from academy.client import ApiError
from academy.events.sender import EventSender
from academy.events.series_csv import COLUMNS
from academy.settings import Settings
from academy.store.engine import Sessions

LOSS = 0.1 + 0.2  # sixteen digits would not do


@pytest.fixture
def measured(admin, dataset, settings: Settings, sessions: Sessions) -> str:
    """A training with three steps, two evaluations and a loss that is no number."""
    job_id: str = admin.post("/train", json={}).json["job_id"]
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        events.emit("evaluation", name="base", step=0, loss=3.5, rows=4)
        events.emit("metrics", step=1, loss=LOSS, learning_rate=1e-05, tokens=2**60)
        events.emit("metrics", step=2, loss=None, zeta='a, "b"\nc', accuracy=True)
        events.emit("metrics", step=10, loss=1.0)
        events.emit("evaluation", name="adapter", step=10, loss=1.25, rows=4)
    return job_id


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("room", ["jobs", "train"])
def test_csv_has_a_row_for_each_step_and_evaluation_in_their_order(
    admin, measured: str, room: str
) -> None:
    answer = admin.get(f"/{room}/{measured}/metrics?format=csv")
    assert answer.content_type == "text/csv; charset=utf-8; header=present"
    assert f'filename="{measured}-metrics.csv"' in answer.headers["Content-Disposition"]
    text = answer.data.decode()
    assert text.endswith("\r\n") and text.count("\r\n") == 6
    header = text.split("\r\n")[0].split(",")
    assert header == [*COLUMNS, "accuracy", "zeta"]
    rows = rows_of(text)
    assert [(row["type"], row["name"], row["step"]) for row in rows] == [
        ("evaluation", "base", "0"),
        ("metrics", "", "1"),
        ("metrics", "", "2"),
        ("metrics", "", "10"),
        ("evaluation", "adapter", "10"),
    ]
    first, second = rows[1], rows[2]
    assert float(first["loss"]) == LOSS and int(first["tokens"]) == 2**60
    assert float(first["learning_rate"]) == 1e-05
    assert (second["loss"], second["zeta"], second["accuracy"]) == ("", 'a, "b"\nc', "true")


def test_accept_decides_where_format_does_not(admin, measured: str) -> None:
    path = f"/jobs/{measured}/metrics"
    for accept, kind in (
        ("text/csv", "text/csv"),
        ("text/csv;q=0.9, application/json;q=0.5", "text/csv"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/*", "text/csv"),
        ("*/*", "application/json"),
        ("image/png", "application/json"),
        ("", "application/json"),
    ):
        assert admin.get(path, headers={"Accept": accept}).mimetype == kind, accept
    json_asked = admin.get(f"{path}?format=json", headers={"Accept": "text/csv"})
    assert json_asked.mimetype == "application/json" and json_asked.json["count"] == 3
    refused = admin.get(f"{path}?format=xlsx")
    assert refused.status_code == 422 and refused.json["errors"][0]["pointer"] == "/format"
    assert len(rows_of(admin.get(f"{path}?format=csv&points=2").text)) == 4


def test_a_job_without_figures_has_the_header_only(admin, dataset) -> None:
    job = admin.post("/jobs", json={"kind": "curation", "request": {}}).json["job_id"]
    text = admin.get(f"/jobs/{job}/metrics?format=csv").text
    assert text == ",".join(COLUMNS) + "\r\n"
    assert admin.get("/jobs/nothing/metrics").status_code == 404
    assert admin.get(f"/train/{job}/metrics").status_code == 404


def test_the_command_prints_a_table_csv_and_json(run, served, measured: str) -> None:
    table = run("metrics", measured).splitlines()
    assert table[0].split()[:3] == ["type", "step", "epoch"]
    assert [line.split()[0] for line in table[1:]] == ["base", *["metrics"] * 3, "adapter"]
    assert len(rows_of(run("metrics", measured, "--csv"))) == 5
    assert json.loads(run("metrics", measured, "--json"))["count"] == 3
    with pytest.raises(ApiError, match="nothing"):
        run("metrics", "nothing", "--csv")
