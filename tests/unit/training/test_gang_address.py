"""Where the trainers of other hosts reach this one's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from academy.errors import BadSetting
from academy.settings import Settings
from academy.training.gang import own_address

SETTINGS = Settings(database_url="postgresql://academy:secret@127.0.0.1:5432/academy")


def test_it_is_the_one_that_leads_to_postgres() -> None:
    assert own_address(SETTINGS) == "127.0.0.1"
    assert own_address(replace(SETTINGS, database_url="postgresql:///academy")) == "127.0.0.1"


def test_it_is_the_one_that_was_set() -> None:
    assert own_address(replace(SETTINGS, gang_address="10.0.0.7")) == "10.0.0.7"


@pytest.mark.parametrize("wrong", ["gpu7.example", "10.0.0", "10.0.0.7:41873"])
def test_what_is_no_address_is_named(wrong: str) -> None:
    with pytest.raises(BadSetting, match=wrong) as refused:
        own_address(replace(SETTINGS, gang_address=wrong))
    assert "ACADEMY_GANG_ADDRESS" in str(refused.value)
