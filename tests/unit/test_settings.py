"""Settings come from the environment, within their ranges, and the README lists each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from academy.errors import BadSetting
from academy.settings import Settings, places


def test_every_setting_stands_in_the_readme_with_its_default_and_meaning(repository: Path) -> None:
    readme = (repository / "README.md").read_text()
    for _, _, rule in places():
        written = rule.write(rule.default)
        default = f"`{written}`" if written else ""
        row = f"| `{rule.variable}` | {default} | {rule.doc} |"
        assert row in readme, f"run tools/settings_table.py; missing: {row}"


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("ACADEMY_PORT", "http", "a whole number"),
        ("ACADEMY_PORT", "70000", "at most 65535"),
        ("ACADEMY_LEASE_SECONDS", "0", "at least 0.5"),
        ("ACADEMY_LEASE_SECONDS", "nan", "at least 0.5"),
        ("ACADEMY_LEASE_SECONDS", "inf", "at least 0.5"),
        ("ACADEMY_MAX_CRASHES", "2.5", "a whole number"),
    ],
)
def test_a_bad_value_names_the_variable_the_value_and_what_is_allowed(
    variable: str, text: str, words: str
) -> None:
    with pytest.raises(BadSetting, match=words) as refused:
        Settings.from_env({variable: text})
    assert variable in str(refused.value) and repr(text) in str(refused.value)


def test_a_child_process_gets_the_same_settings(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {"ACADEMY_HOME": str(tmp_path), "ACADEMY_PORT": "9000", "ACADEMY_REPO_ROOTS": "/a:/b"}
    )
    assert Settings.from_env(settings.environ()) == settings


def test_overrides_win_over_the_environment(tmp_path: Path) -> None:
    found = Settings.from_env({"ACADEMY_PORT": "9000"}, port=1234, home=tmp_path)
    assert (found.api.port, found.home) == (1234, tmp_path)


def test_every_setting_has_a_meaning_and_a_unit_in_its_name() -> None:
    for _, field, rule in places():
        assert rule.doc
        if isinstance(rule.default, float):
            assert rule.variable.endswith(("_SECONDS", "_HOURS"))
            assert field.endswith(("seconds", "hours"))
