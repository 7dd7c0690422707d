"""Planted near duplicates are found, and nothing else is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from academy.curation.dedup import Duplicates, Sketches, find_duplicates, jaccard, shingles

VOCABULARY = [f"word{number}" for number in range(3_000)]


def find(texts: list[str], threshold: float = 0.8, exact: bool = True) -> Duplicates:
    sketches = Sketches()
    for text in texts:
        sketches.add(text)
    keys = [hash(" ".join(text.split())) & (2**64 - 1) for text in texts]
    order = range(len(texts))
    return find_duplicates(
        order, keys if exact else None, sketches, lambda i: texts[i], threshold, lambda _: None
    )


def similarity(left: str, right: str) -> float:
    return jaccard(frozenset(shingles(left)), frozenset(shingles(right)))


def planted(chance: random.Random) -> list[str]:
    """300 originals, and for each a copy with a few words changed."""
    texts = []
    for _ in range(300):
        words = chance.choices(VOCABULARY, k=chance.randint(40, 200))
        changed = list(words)
        for _ in range(chance.randint(1, max(1, len(words) // 22))):
            changed[chance.randrange(len(changed))] = chance.choice(VOCABULARY)
        texts += [" ".join(words), " ".join(changed)]
    return texts


def test_recall_is_97_percent_and_precision_is_one() -> None:
    texts = planted(random.Random(7))
    alike = {
        at + 1 for at in range(0, len(texts), 2) if similarity(texts[at], texts[at + 1]) >= 0.8
    }
    assert len(alike) > 200
    found = find(texts)
    dropped = set(found.exact) | set(found.near)
    assert len(dropped & alike) >= 0.97 * len(alike)
    for index, stays in found.near.items():
        assert similarity(texts[index], texts[stays]) >= 0.8
    assert dropped <= alike


def test_the_earliest_row_stays_in_a_chain() -> None:
    words = VOCABULARY[:200]
    texts = [" ".join(words[at : at + 100]) for at in range(0, 40, 4)]
    found = find(texts)
    assert 0 not in found.near
    for index, stays in found.near.items():
        assert stays < index
        assert stays not in found.near
    roots = {found.clusters.get(index) for index in range(len(texts))}
    assert roots == {0}, "rows that a chain of near duplicates ties together are one cluster"


def test_equal_texts_are_exact_duplicates_whatever_their_blanks() -> None:
    found = find(["a  b c d e", "x y z", "a b c\nd e", "a b c d e"])
    assert found.exact == {2: 0, 3: 0}
    assert found.near == {}


def test_a_collision_of_keys_is_no_duplicate() -> None:
    texts = ["one text here", "another text there"]
    found = find_duplicates(range(2), [5, 5], None, lambda i: texts[i], 0.8, lambda _: None)
    assert found.exact == {}


def test_thousands_of_copies_take_no_time() -> None:
    texts = ["the same words again and again " * 5] * 2_000 + ["others entirely, quite so indeed"]
    assert len(find(texts, exact=False).near) == 1_999


@pytest.mark.parametrize("texts", [[], ["one"], ["", ""], ["a b", "a b c"]])
def test_few_and_short_texts_are_fine(texts: list[str]) -> None:
    find(texts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=12), st.floats(0.5, 1.0))
def test_a_dropped_row_always_resembles_one_that_stays(texts: list[str], threshold: float) -> None:
    found = find(texts, threshold)
    for index, stays in found.near.items():
        assert similarity(texts[index], texts[stays]) >= threshold
        assert stays not in found.near
        assert stays not in found.exact
    for index, stays in found.exact.items():
        assert texts[index].split() == texts[stays].split()
