"""The commands for datasets, against an API process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from academy.client import ApiError, Client
from academy.settings import Settings

Run = Callable[..., str]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.changed(max_upload_bytes=1 << 20)


def write(path: Path, count: int) -> Path:
    rows = [
        {"prompt": f"Where is tool {n * 7}?", "completion": f"In drawer {n * 11}."}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_is_uploaded_compared_and_downloaded(run: Run, curator, tmp_path: Path) -> None:
    one = json.loads(
        run("dataset", "upload", str(write(tmp_path / "one.jsonl", 9)), "--split", "0", "--json")
    )
    assert one["report"]["format"] == "prompt-completion"
    shown = run("dataset", "upload", str(write(tmp_path / "two.jsonl", 12)), "--set", "split=0")
    assert "12 examples" in shown and "12 of 12 kept" in shown
    listed = run("dataset", "list")
    assert one["dataset_id"] in listed
    two = next(word for word in shown.split() if word.startswith("dataset_"))
    compared = run("dataset", "diff", one["dataset_id"], two, "--kind", "added", "--limit", "2")
    assert "unchanged" in compared and "total_examples" in compared
    assert "+ upload:" in compared and "More: --after 2" in compared
    out = tmp_path / "out.jsonl"
    run("dataset", "download", two, "--format", "sharegpt", "-o", str(out))
    assert len(out.read_text().splitlines()) == 12
    assert "12 examples" in run("dataset", "card", two)
    with pytest.raises(ApiError, match="rejected"):
        run("dataset", "download", two, "--format", "preference", "-o", str(tmp_path / "no"))
    assert sorted(path.name for path in tmp_path.glob("*no*")) == []


def test_bad_lines_of_a_file_are_named_at_the_terminal(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n' + '{"prompt": "a"}\n' * 30)
    with pytest.raises(ApiError) as refused:
        run("dataset", "upload", str(path))
    told = str(refused.value)
    assert "bad.jsonl" in told and "30 of its 31 rows are bad" in told
    assert "line 2: there is no completion" in told or "line 2: no known format" in told
    assert "and 10 more" in told
    with pytest.raises(SystemExit):
        run("dataset", "upload", str(tmp_path / "none.jsonl"))


def test_a_file_that_is_too_large_is_refused_and_keeps_nobody_waiting(
    served, tmp_path: Path
) -> None:
    path = tmp_path / "large.jsonl"
    with path.open("wb") as stream:
        stream.truncate(200 << 20)
    with Client(f"http://{served.host}", served.key) as client:
        try:
            client.upload_dataset(path)
        except ApiError as error:
            assert error.problem_status == 413
            assert "ACADEMY_MAX_UPLOAD_BYTES" in error.problem_next_step
        else:
            pytest.fail("a file over the limit was taken")
        # What was sent beyond the limit was taken in, so the connection can be used again.
        assert client.get("/datasets")["count"] == 0
