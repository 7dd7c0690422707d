import sys
from pathlib import Path

import pytest

from academy.settings import Settings
from academy.trainer.prepare import NAME, ModelNotPrepared, prepare
from academy.trainer.tiny import main as make_tiny
from academy.trainer.tiny import make_tiny_model


def test_a_model_that_is_there_is_used_at_once(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "models" / NAME)
    assert prepare(Settings().changed(models=(tmp_path / "models",))) == (folder, False)


def test_folders_that_cannot_be_written_to_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelNotPrepared, match="file/models"):
        prepare(Settings().changed(models=(tmp_path / "file" / "models",)))


def test_the_tiny_model_is_the_same_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tiny", str(tmp_path / "one")])
    make_tiny()
    assert str(tmp_path / "one") in capsys.readouterr().out
    make_tiny_model(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "chat_template.jinja" in names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_vocabulary_that_cannot_spell_every_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="259"):
        make_tiny_model(tmp_path / "mute", vocabulary=100)
    assert not (tmp_path / "mute").exists()
