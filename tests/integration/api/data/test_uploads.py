"""An uploaded file becomes a dataset, or a report says which lines are bad and nothing is kept."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from academy.settings import Settings

NDJSON = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.changed(max_upload_bytes=200_000)


def alpaca(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "instruction": f"Say why the build number {number} of service {number * 7} failed",
            "output": f"Its cache of step {number * 13} was stale; clear it and build again.",
        }
        for number in range(start, start + count)
    ]


def lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def kept(settings: Settings) -> list[Path]:
    """The files that uploads left anywhere."""
    folders = [Path(settings.artifacts_url) / "uploads", settings.home / "work" / "uploads"]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def send(caller: Any, rows: bytes, kind: str = NDJSON, query: str = "", **headers: str) -> Any:
    return caller.post(
        f"/datasets/upload{query}", data=rows, content_type=kind, headers=dict(headers)
    )


def test_a_file_becomes_a_dataset_that_every_view_shows_and_a_training_takes(
    admin, curator, settings: Settings
) -> None:
    made = send(admin, lines(alpaca(40)), query="?split=0.25")
    assert made.status_code == 201, made.text
    body = made.json
    assert body["report"] == {
        "format": "alpaca",
        "rows": 40,
        "bad_rows": 0,
        "problems_total": 0,
        "problems_shown": 0,
        "ignored": {},
    }
    assert body["statistics"]["uploads_collected"] == 40
    dataset = admin.get(f"/datasets/{body['dataset_id']}").json
    assert dataset["train_rows"] + dataset["heldout_rows"] == 40
    assert dataset["format"] == "alpaca"
    rows = admin.get(f"/datasets/{body['dataset_id']}/rows?limit=500").json["rows"]
    assert {row["source"] for row in rows} == {"upload"}
    assert rows[0]["provenance"]["line"] >= 1
    started = admin.post("/train", json={"dataset_id": body["dataset_id"]})
    assert started.status_code == 202, started.text
    assert admin.get("/datasets").json["datasets"][0]["dataset_id"] == body["dataset_id"]


def test_equal_rows_make_an_equal_dataset_whichever_file_they_come_in(
    admin, curator, tmp_path: Path
) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = alpaca(12)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    spaced = b"".join(
        json.dumps(row, indent=None, sort_keys=True).encode() + b" \n" for row in rows
    )
    form = {"file": (io.BytesIO(spaced), "my rows.jsonl"), "seed": "0"}
    answers = [
        send(admin, lines(rows)),
        send(admin, (tmp_path / "rows.parquet").read_bytes(), PARQUET),
        admin.post("/datasets/upload", data=form, content_type="multipart/form-data"),
    ]
    assert [each.status_code for each in answers] == [201] * 3, [each.text for each in answers]
    assert len({each.json["dataset_id"] for each in answers}) == 1
    assert len({each.json["upload_id"] for each in answers}) == 3


def test_a_bad_line_stores_nothing_and_is_reported_with_its_place(
    admin, settings: Settings
) -> None:
    bad = [{"instruction": "x", "output": 1}, {"messages": []}]
    answer = send(admin, lines(alpaca(2) + bad) + b"{broken\n")
    assert (answer.status_code, answer.json["code"]) == (422, "upload_refused")
    assert [(each["line"], each["pointer"], each["code"]) for each in answer.json["errors"]] == [
        (3, "/output", "data_type"),
        (4, "", "mixed_formats"),
        (5, "", "invalid_json"),
    ]
    assert answer.json["report"]["bad_rows"] == 3
    assert "line 3 at /output" in answer.json["detail"]
    assert admin.get("/jobs").json["count"] == 0
    assert kept(settings) == []


def test_a_form_may_hold_a_file_of_just_the_size_that_is_allowed(admin, settings: Settings) -> None:
    rows = lines(alpaca(700))
    rows += b" " * (settings.api.max_upload_bytes - len(rows) - 1) + b"\n"
    for data, kind in ((rows, NDJSON), _form(("file", "rows.jsonl", rows))):
        answer = send(admin, data, kind, Prefer="wait=0")
        assert (answer.status_code, answer.json["report"]["rows"]) == (202, 700), answer.text


def test_at_most_a_thousand_problems_are_listed_with_their_total(admin) -> None:
    answer = send(admin, b"{}\n" * 1_500)
    assert answer.status_code == 422
    assert len(answer.json["errors"]) == 1_000
    assert answer.json["report"]["problems_total"] == 1_500
    assert answer.json["report"]["problems_shown"] == 1_000


def test_the_same_key_gives_the_first_answer_and_another_file_is_refused(admin, curator) -> None:
    first = send(admin, lines(alpaca(9)), **{"Idempotency-Key": "u"})
    again = send(admin, lines(alpaca(9)), **{"Idempotency-Key": "u"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json["job_id"] == first.json["job_id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other = send(admin, lines(alpaca(8)), **{"Idempotency-Key": "u"})
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    options = send(admin, lines(alpaca(9)), query="?seed=2", **{"Idempotency-Key": "u"})
    assert options.json["code"] == "idempotency_key_reused"


def test_an_upload_goes_through_the_filters_like_every_other_source(admin, curator) -> None:
    secret = {
        "instruction": "How is the bucket of the nightly builds reached?",
        "output": "Use the key AKIAIOSFODNN7EXAMPLX and ask ann.lee@corp.example for the rest.",
    }
    rows = [*alpaca(8), alpaca(1)[0], secret, {"instruction": "And now?", "output": "."}]
    body = send(admin, lines(rows)).json
    statistics = body["statistics"]
    assert statistics["filters"] == {"exact_duplicate": 1, "short_answer": 1}
    assert statistics["input"] == {"read": 11, "kept": 9, "dropped": 2}
    text = json.dumps([_rows(admin, body["dataset_id"], side) for side in ("train", "heldout")])
    assert "AKIAIOSFODNN7EXAMPLX" not in text and "ann.lee" not in text
    assert "<EMAIL>" in text


def test_pairs_keep_both_answers_where_they_are_wanted(admin, curator) -> None:
    rows = [
        {
            "prompt": f"Which unit serves port {number}, and since when?",
            "chosen": f"Unit {number * 3}; see its journal for the time.",
            "rejected": f"I have no idea about {number}.",
        }
        for number in range(10)
    ]
    pairs = send(admin, lines(rows)).json
    found = _rows(admin, pairs["dataset_id"], "train")
    assert {"chosen", "rejected"} <= set(found[0])
    assert found[0]["messages"][-1]["role"] == "user"
    answers = send(admin, lines(rows), query="?format=openai").json
    (first, *_) = _rows(admin, answers["dataset_id"], "train")
    assert first["messages"][-1]["role"] == "assistant" and "rejected" not in first
    refused = send(admin, lines(alpaca(3)), query="?format=preference")
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/format")


def test_a_kept_file_is_read_together_with_other_sources_until_it_is_forgotten(
    admin, curator
) -> None:
    upload_id = send(admin, lines(alpaca(6))).json["upload_id"]
    for number in range(6):
        lesson = {"situation": f"Door {number} is stuck again", "solution": f"Oil hinge {number}."}
        admin.post("/lessons", json=lesson)
    wanted = {"git_commits_limit": 0, "uploads": [upload_id]}
    statistics = admin.post("/dataset", json=wanted).json["statistics"]
    assert (statistics["uploads_collected"], statistics["lessons_collected"]) == (6, 6)
    assert admin("DELETE", f"/datasets/uploads/{upload_id}").status_code == 200
    gone = admin.post("/dataset", json=wanted)
    assert (gone.status_code, gone.json["code"]) == (404, "not_found")
    assert admin("DELETE", f"/datasets/uploads/{upload_id}").status_code == 404


def _rows(caller: Any, dataset_id: str, split: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.get(
        f"/datasets/{dataset_id}/rows?split={split}&limit=500"
    ).json["rows"]
    return found


def _form(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, str]:
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename else ""
        body += f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + b"--b--\r\n", "multipart/form-data; boundary=b"


GOOD = lines(alpaca(2))
FILE = ("file", "rows.jsonl", GOOD)

REFUSED: list[tuple[bytes, str, str, int, str, str]] = [
    (b"", NDJSON, "", 422, "upload_refused", "no row"),
    (b"\n\n", NDJSON, "", 422, "upload_refused", "no row"),
    (b"\x1f\x8b\x08\x00", NDJSON, "", 422, "upload_refused", "compressed"),
    (b"PAR1 and no more", PARQUET, "", 422, "upload_refused", "Parquet"),
    (b"\xff\xfe{}", NDJSON, "", 422, "upload_refused", "UTF-8"),
    (b'[{"instruction": "a"}]', NDJSON, "", 422, "upload_refused", "object"),
    (GOOD, "text/csv", "", 415, "unsupported_media_type", "text/csv"),
    (GOOD, "application/x-www-form-urlencoded", "", 415, "unsupported_media_type", "form-data"),
    (b"x" * 200_001, NDJSON, "", 413, "body_too_large", "200000"),
    (GOOD, NDJSON, "?colour=red", 422, "invalid_request", "colour"),
    (GOOD, NDJSON, "?split=2", 422, "invalid_request", "split"),
    (GOOD, NDJSON, "?split=much", 422, "invalid_request", "split"),
    (GOOD, NDJSON, "?format=xml", 422, "invalid_request", "alpaca"),
    (GOOD, NDJSON, "?base_model=gpt-9", 422, "base_model_unavailable", "gpt-9"),
    (GOOD, NDJSON, "?disabled_filters=bot,nobody", 422, "invalid_request", "nobody"),
    (*_form(("rows", "rows.jsonl", GOOD)), "", 400, "bad_form", "rows"),
    (*_form(("file", None, GOOD)), "", 400, "bad_form", "filename"),
    (*_form(FILE, FILE), "", 400, "bad_form", "more than one"),
    (*_form(FILE, ("colour", None, b"red")), "", 422, "invalid_request", "colour"),
    (*_form(FILE, ("seed", None, b"1"), ("seed", None, b"1")), "", 422, "invalid_request", "once"),
    (_form(FILE)[0][:-8], "multipart/form-data; boundary=b", "", 400, "bad_form", "form"),
    (GOOD, "multipart/form-data", "", 400, "bad_form", "boundary"),
    (*_form(("file", "big", b"x" * 200_001)), "", 413, "body_too_large", "200000"),
]


def test_what_cannot_be_used_is_refused_by_name_and_leaves_nothing(
    admin, settings: Settings
) -> None:
    for data, kind, query, status, code, word in REFUSED:
        answer = send(admin, data, kind, query)
        told = (answer.status_code, answer.json.get("code"), word in answer.text)
        assert told == (status, code, True), (data[:60], kind, query, answer.text)
        assert answer.json["next_step"] and "Traceback" not in answer.text
    assert admin.get("/jobs").json["count"] == 0
    assert kept(settings) == []


def test_only_those_who_may_make_datasets_upload_and_forget(caller) -> None:
    from academy.access.keys import Role

    viewer: Callable[..., Any] = caller(Role.VIEWER)
    assert send(viewer, GOOD).status_code == 403
    assert viewer("DELETE", "/datasets/uploads/upload_x").status_code == 403
