"""A file is checked in a process of its own, whose end is never that of its caller."""

from __future__ import annotations

from pathlib import Path

import pytest

from academy.curation.errors import UploadRefused
from academy.curation.uploads import check
from academy.curation.uploads.check import BadUpload, check_upload


def test_a_good_file_has_a_report_and_a_bad_one_is_refused_with_its_report(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a b", "completion": "c d"}\n')
    report = check_upload(path, "mine.jsonl", max_bytes=1 << 20)
    assert (report.format, report.rows, report.ok) == ("prompt-completion", 1, True)
    path.write_text('{"prompt": "a b"}\n' * 3)
    with pytest.raises(BadUpload, match=r"'mine\.jsonl' was refused: 3 of its 3 rows") as refused:
        check_upload(path, "mine.jsonl", max_bytes=1 << 20)
    assert refused.value.report.problems_total == 3
    assert [each["line"] for each in refused.value.errors] == [1, 2, 3]


def test_what_is_no_file_of_rows_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n" * 10)
    with pytest.raises(UploadRefused, match="at most 9 are read"):
        check_upload(path, "mine.jsonl", max_bytes=9)
    with pytest.raises(UploadRefused, match="No such file"):
        check_upload(tmp_path / "none", "none", max_bytes=9)


def test_a_check_that_takes_more_than_it_may_refuses_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a b", "completion": "c d"}\n')
    monkeypatch.setattr(check, "WALL_SECONDS", 0.001)
    with pytest.raises(UploadRefused, match=r"more than 0\.001 seconds"):
        check_upload(path, "mine.jsonl", max_bytes=1 << 20)
