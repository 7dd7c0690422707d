"""Places are taken and given back, for a key, for an address, and in all."""

from __future__ import annotations

import pytest

from academy.settings import Settings
from academy.web.live.places import Places, TooManyWatchers


def test_a_place_that_is_given_back_is_another_ones() -> None:
    places = Places(Settings().changed(watchers=3, watchers_each=2))
    first = places.take("key", "10.0.0.1")
    places.take("key", "10.0.0.2")
    with pytest.raises(TooManyWatchers, match="With this key 2 event streams"):
        places.take("key", "10.0.0.3")
    places.take("other", "10.0.0.1")
    assert len(places) == 3
    with pytest.raises(TooManyWatchers, match="Of this server 3 event streams"):
        places.take("third", "10.0.0.4")
    places.give_back(first)
    places.take("third", "10.0.0.1")
    with pytest.raises(TooManyWatchers):
        places.take("third", "10.0.0.1")
    assert len(places) == 3


def test_one_address_has_so_many_whatever_keys_it_uses() -> None:
    places = Places(Settings().changed(watchers=10, watchers_each=2))
    taken = [places.take(f"key {number}", "10.0.0.1") for number in range(2)]
    with pytest.raises(TooManyWatchers, match="From this address 2 event streams"):
        places.take("another", "10.0.0.1")
    for each in taken:
        places.give_back(each)
    assert len(places) == 0
