"""Imports without looking for garbage leave the collector as it was."""

from __future__ import annotations

import gc

import pytest

from academy.host.quick_imports import quick_imports


def test_garbage_is_looked_for_again_afterwards_but_not_in_what_was_imported() -> None:
    before = gc.get_freeze_count()
    try:
        with quick_imports():
            assert not gc.isenabled()
            made = [[] for _ in range(100)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        gc.unfreeze()


def test_an_import_that_fails_leaves_it_on() -> None:
    try:
        with pytest.raises(ImportError), quick_imports():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
