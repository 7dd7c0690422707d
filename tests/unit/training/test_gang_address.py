"""Where the trainers of other hosts reach this one's."""

from __future__ import annotations

import pytest

from academy.errors import BadSetting
from academy.settings import Settings
from academy.store.engine import servers
from academy.training.gang import own_address

SETTINGS = Settings().changed(database_url="postgresql://academy:secret@127.0.0.1:5432/academy")


def test_it_is_the_one_that_leads_to_postgres() -> None:
    assert own_address(SETTINGS) == "127.0.0.1"
    assert own_address(SETTINGS.changed(database_url="postgresql:///academy")) == "127.0.0.1"


def test_it_is_the_one_that_was_set() -> None:
    assert own_address(SETTINGS.changed(gang_address="10.0.0.7")) == "10.0.0.7"


@pytest.mark.parametrize("wrong", ["gpu7.example", "10.0.0", "10.0.0.7:41873"])
def test_what_is_no_address_is_named(wrong: str) -> None:
    with pytest.raises(BadSetting, match=wrong) as refused:
        own_address(SETTINGS.changed(gang_address=wrong))
    assert "ACADEMY_GANG_ADDRESS" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://a@/academy?host=10.1.2.3&port=6000", [("10.1.2.3", 6000)]),
        ("postgresql://a@db/academy", [("db", 5432)]),
        ("postgresql://a@/academy?host=one:1&host=two:2", [("one", 1), ("two", 2)]),
        ("postgresql://a@/academy?host=one&hostaddr=10.1.2.3", [("10.1.2.3", 5432)]),
        ("postgresql://a@/academy?host=/run/postgresql", []),
    ],
)
def test_the_servers_of_a_url_are_those_that_libpq_finds(
    url: str, found: list[tuple[str, int]]
) -> None:
    assert servers(url) == found


def test_the_next_server_is_tried_where_no_way_leads_to_the_first() -> None:
    url = "postgresql://a@/academy?host=255.255.255.255:5432&host=127.0.0.1:5432"
    assert own_address(SETTINGS.changed(database_url=url)) == "127.0.0.1"


def test_without_any_way_the_setting_that_helps_is_named() -> None:
    url = "postgresql://a@255.255.255.255/academy"
    with pytest.raises(BadSetting, match="ACADEMY_GANG_ADDRESS"):
        own_address(SETTINGS.changed(database_url=url))
