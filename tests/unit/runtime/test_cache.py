"""Rows keep their own keys and values while their batch changes around them."""

from __future__ import annotations

import torch

from academy.runtime.cache import Part, new_cache, regroup


def filled(rows: int, columns: int, seed: int) -> object:
    cache = new_cache()
    states = torch.randn(rows, 2, columns, 4, generator=torch.Generator().manual_seed(seed))
    for layer in range(2):
        cache.update(states + layer, -states - layer, layer)
    return cache


def test_tokens_are_appended_as_by_concatenation() -> None:
    cache = new_cache()
    states = torch.randn(3, 2, 200, 4)
    for start, end in ((0, 5), (5, 6), (6, 150), (150, 151), (151, 200)):
        keys, values = cache.update(states[:, :, start:end], states[:, :, start:end] * 2, 0)
    assert torch.equal(keys, states)
    assert torch.equal(values, states * 2)
    assert cache.get_seq_length() == 200


def test_regrouping_aligns_rows_to_the_right_and_cuts_what_nobody_needs() -> None:
    long, short = filled(2, 9, 1), filled(1, 4, 2)
    merged = regroup([Part(long, [1], [6]), Part(short, [0], [4])])
    for layer in range(2):
        keys = merged.layers[layer].keys
        assert keys.shape == (2, 2, 6, 4)
        assert torch.equal(keys[0], long.layers[layer].keys[1, :, 3:])
        assert torch.equal(keys[1, :, 2:], short.layers[layer].keys[0])
        assert not keys[1, :, :2].any()


def test_a_regrouped_cache_takes_more_tokens_without_touching_its_sources() -> None:
    source = filled(2, 3, 1)
    before = source.layers[0].keys.clone()
    merged = regroup([Part(source, [0, 1], [3, 3])])
    merged.update(torch.ones(2, 2, 1, 4), torch.ones(2, 2, 1, 4), 0)
    assert merged.layers[0].get_seq_length() == 4
    assert torch.equal(source.layers[0].keys, before)
