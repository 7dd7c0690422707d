"""An attempt's files are its own, also beside another attempt at the same job."""

from __future__ import annotations

from pathlib import Path

from academy.training.work_folder import work_folder


def test_the_folder_is_gone_after_the_attempt(tmp_path: Path) -> None:
    with work_folder(tmp_path, "job", 1) as folder:
        (folder / "spec.json").write_text("{}")
        assert folder == tmp_path / "work" / "job" / "1"
    assert not (tmp_path / "work" / "job").exists()


def test_two_attempts_at_once_leave_each_other_alone(tmp_path: Path) -> None:
    with work_folder(tmp_path, "job", 1) as stale:
        (stale / "spec.json").write_text("{}")
        with work_folder(tmp_path, "job", 2) as current:
            assert (stale / "spec.json").exists()
            (current / "spec.json").write_text("{}")
            assert {each.name for each in current.parent.iterdir()} == {"1", "2"}
        assert (stale / "spec.json").exists()
    assert not stale.parent.exists()


def test_what_a_killed_worker_left_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / "work" / "job" / "1" / "out"
    leftover.mkdir(parents=True)
    (leftover.parent / "lock").touch()
    with work_folder(tmp_path, "job", 2):
        assert not leftover.parent.exists()
