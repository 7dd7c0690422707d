"""Datasets are paged at any place, shown as the model sees them, compared, and downloaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from academy.artifacts.store import ArtifactStore
from academy.settings import Settings

NDJSON = "application/x-ndjson"


def rows_of(numbers: range, changed: frozenset[int] = frozenset()) -> list[dict[str, Any]]:
    return [
        {
            "id": f"case-{n}",
            "instruction": f"Which unit of plant {n * 17} serves the port {n}?",
            "output": f"Unit {n * 31}{', since yesterday' if n in changed else ''}.",
        }
        for n in numbers
    ]


def upload(caller: Any, rows: list[dict[str, Any]], query: str = "") -> dict[str, Any]:
    data = "\n".join(json.dumps(row) for row in rows)
    answer = caller.post(f"/datasets/upload{query}", data=data, content_type=NDJSON)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json
    return body


def test_rows_are_paged_at_any_place_with_their_total(admin, curator) -> None:
    made = upload(admin, rows_of(range(300)), "?split=0&near_duplicate_jaccard=1")
    where = f"/datasets/{made['dataset_id']}/rows"
    pages = [admin.get(f"{where}?limit=77&after={after}").json for after in (0, 77, 154, 231)]
    assert [page["count"] for page in pages] == [77, 77, 77, 69]
    assert [page["next"] for page in pages] == [77, 154, 231, None]
    assert {page["total"] for page in pages} == {300}
    lines = [row["provenance"]["line"] for page in pages for row in page["rows"]]
    assert lines == list(range(1, 301))
    beyond = admin.get(f"{where}?after=300").json
    assert (beyond["rows"], beyond["has_more"]) == ([], False)
    assert admin.get(f"{where}?after=-1").status_code == 422


def test_a_dataset_is_verified_once_and_again_when_its_files_changed(
    admin, dataset: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Path(admin.get(f"/datasets/{dataset}").json["dataset_path"]).parent.name
    path = ArtifactStore(settings).fetch(f"datasets/{key}") / "train.jsonl"
    for _ in range(2):
        assert admin.get(f"/datasets/{dataset}/rows").json["total"] == 12
    text = path.read_text()
    path.unlink()
    path.write_text(text.replace("r1", "x1"))  # of the same length
    answer = admin.get(f"/datasets/{dataset}/rows")
    assert (answer.status_code, answer.json["code"]) == (409, "digest_mismatch")


def test_rows_are_shown_as_the_base_model_will_see_them(
    admin, curator, settings: Settings, tiny_model: Path
) -> None:
    shutil.copytree(tiny_model, settings.models.folders[0] / "chatty")
    made = upload(admin, rows_of(range(8)), "?split=0")
    where = f"/datasets/{made['dataset_id']}/rows?base_model=chatty"
    row = admin.get(where).json["rows"][0]
    shown = row["preview"]
    assert [each["learnt"] for each in shown["segments"]] == [False, True]
    assert shown["segments"][0]["text"].endswith("<|im_start|>assistant\n")
    assert shown["segments"][1]["text"] == row["messages"][-1]["content"] + "<|im_end|>"
    assert shown["tokens"] == sum(each["tokens"] for each in shown["segments"])
    assert shown["learnt_tokens"] == shown["segments"][1]["tokens"]
    assert shown["cut"] is False
    short = admin.get(f"{where}&max_seq_length=16").json["rows"][0]["preview"]
    assert "does not fit" in short["left_out"]
    unknown = admin.get(where.replace("chatty", "nobody"))
    assert (unknown.status_code, unknown.json["code"]) == (422, "base_model_unavailable")
    mute = admin.get(where.replace("chatty", "tiny"))
    assert (mute.status_code, mute.json["code"]) == (422, "no_chat_tokenizer")


def test_two_datasets_are_compared_by_their_rows_and_figures(admin, curator) -> None:
    before = upload(admin, rows_of(range(40)), "?split=0")["dataset_id"]
    changed = frozenset({3, 5})
    after = upload(admin, rows_of(range(2, 44), changed), "?split=0&seed=1")["dataset_id"]
    found = admin.get(f"/datasets/diff?a={before}&b={after}").json
    assert found["counts"] == {
        "added": 4,
        "removed": 2,
        "changed": 2,
        "moved": 0,
        "unchanged": 36,
    }
    assert found["rows"] == []
    assert found["request"]["seed"] == {"a": 0, "b": 1}
    assert found["statistics"]["total_examples"] == {"a": 40, "b": 42}
    page = admin.get(f"/datasets/diff?a={before}&b={after}&kind=added&limit=3").json
    assert (page["count"], page["next"]) == (3, 3)
    assert [row["a"] for row in page["rows"]] == [None] * 3
    last = admin.get(f"/datasets/diff?a={before}&b={after}&kind=added&after=3").json
    assert last["rows"][0]["b"]["provenance"]["id"] == "case-43"
    removed = admin.get(f"/datasets/diff?a={before}&b={after}&kind=removed").json["rows"]
    assert [row["a"]["provenance"]["id"] for row in removed] == ["case-0", "case-1"]
    rows = admin.get(f"/datasets/diff?a={before}&b={after}&kind=changed").json["rows"]
    assert [row["b"]["provenance"]["id"] for row in rows] == ["case-3", "case-5"]
    assert rows[0]["a"]["messages"] != rows[0]["b"]["messages"]
    same = admin.get(f"/datasets/diff?a={before}&b={before}").json
    assert (same["counts"]["unchanged"], same["request"], same["statistics"]) == (40, {}, {})


def test_rows_are_downloaded_in_every_format_and_pairs_only_of_pairs(admin, curator) -> None:
    made = upload(admin, rows_of(range(10)), "?split=0.5&seed=2")["dataset_id"]
    keys = {
        "alpaca": "instruction",
        "sharegpt": "conversations",
        "openai": "messages",
        "prompt-completion": "completion",
    }
    counts = set()
    for format, key in keys.items():
        file = admin.get(f"/datasets/{made}/download?format={format}", buffered=True)
        rows = [json.loads(line) for line in file.text.splitlines()]
        assert all(key in row for row in rows)
        assert format in file.headers["Content-Disposition"]
        counts.add(len(rows))
    held = admin.get(f"/datasets/{made}/download?format=alpaca&file=heldout", buffered=True)
    assert counts == {10 - len(held.text.splitlines())}
    refused = admin.get(f"/datasets/{made}/download?format=preference")
    assert (refused.status_code, refused.json["code"]) == (422, "not_pairs")
    assert admin.get(f"/datasets/{made}/download?format=alpaca&file=drops").status_code == 422
    pairs = [
        {
            "prompt": f"Is the gate {n} open?",
            "chosen": f"Yes, since {n}.",
            "rejected": "Who knows.",
        }
        for n in range(9)
    ]
    other = upload(admin, pairs)["dataset_id"]
    file = admin.get(f"/datasets/{other}/download?format=preference", buffered=True)
    assert set(json.loads(file.text.splitlines()[0])) == {"prompt", "chosen", "rejected"}
    chosen = admin.get(f"/datasets/{other}/download?format=openai", buffered=True)
    assert json.loads(chosen.text.splitlines()[0])["messages"][-1]["role"] == "assistant"


def test_the_card_says_in_words_what_is_in_a_dataset(admin, curator) -> None:
    made = upload(admin, rows_of(range(20)))["dataset_id"]
    card = admin.get(f"/datasets/{made}/card", buffered=True)
    assert (card.status_code, card.mimetype) == (200, "text/markdown")
    assert "20 examples" in card.text
    assert admin.get("/datasets/none/card").status_code == 404


def test_a_comparison_of_what_is_not_there_is_refused(admin, dataset: str) -> None:
    for query, status, word in (
        (f"a={dataset}", 422, "'b' is missing"),
        (f"a={dataset}&b=none", 404, "none"),
        (f"a={dataset}&b={dataset}&kind=odd", 422, "added"),
        (f"a={dataset}&b={dataset}&limit=0", 422, "from 1 to 500"),
    ):
        answer = admin.get(f"/datasets/diff?{query}")
        assert (answer.status_code, word in answer.text) == (status, True), answer.text
