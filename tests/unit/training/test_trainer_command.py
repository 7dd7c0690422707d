"""The program that trains is a setting."""

from __future__ import annotations

import sys

from academy.settings import Settings
from academy.training.launchers.native import command_words


def test_the_trainer_runs_on_the_workers_own_interpreter() -> None:
    assert command_words(Settings().training.command) == [sys.executable, "-m", "academy.trainer"]


def test_another_trainer_is_named_as_in_a_shell() -> None:
    def words(text: str) -> list[str]:
        settings = Settings.from_env({"ACADEMY_TRAINER_COMMAND": text})
        return command_words(settings.training.command)

    assert words("/opt/my trainer") == ["/opt/my", "trainer"]
    assert words("'/opt/my trainer' --fast") == ["/opt/my trainer", "--fast"]
