"""The Professor says whether there is enough, whether it is balanced, and what would help most."""

from __future__ import annotations

from typing import Any

from academy.curation.professor import assess


def statistics(
    train: int,
    heldout: int,
    sources: dict[str, int] | None = None,
    filters: dict[str, int] | None = None,
    groups: tuple[int, float] = (50, 0.1),
) -> dict[str, Any]:
    kept = train + heldout
    dropped = sum((filters or {}).values())
    return {
        "train_rows": train,
        "heldout_rows": heldout,
        "input": {"read": kept + dropped, "kept": kept, "dropped": dropped},
        "filters": filters or {},
        "sources": {name: {"kept": count} for name, count in (sources or {"git": kept}).items()},
        "groups": {"count": groups[0], "largest_share": groups[1]},
    }


def test_too_few_rows_are_called_few_and_more_of_them_help_most() -> None:
    told = assess(statistics(30, 5))
    assert told["enough"]["is_enough"] is False
    assert told["helps_most"][0] == {
        "action": "add_rows",
        "rows": 70,
        "sentence": "record 70 more lessons, or name more repositories.",
    }
    assert told["sentences"][0].startswith("30 training rows are few")
    assert any(each.startswith("What would help most: record 70") for each in told["sentences"])


def test_plenty_of_balanced_rows_need_nothing() -> None:
    told = assess(statistics(4000, 900, {"lesson": 2500, "git": 2400}))
    assert told["enough"]["is_enough"] and told["enough"]["can_be_proven"]
    assert told["balanced"]["is_balanced"]
    assert told["balanced"]["shares"] == {"lesson": 0.51, "git": 0.49}
    assert told["helps_most"] == []
    assert len(told["sentences"]) == 2


def test_a_source_or_a_group_that_dominates_is_named() -> None:
    source = assess(statistics(900, 100, {"git": 970, "lesson": 30}))
    assert source["balanced"]["is_balanced"] is False
    assert "97% of the rows come from git" in " ".join(source["sentences"])
    (help,) = source["helps_most"]
    assert (help["action"], help["rows"]) == ("balance_sources", 170)
    group = assess(statistics(900, 100, groups=(3, 0.95)))
    assert group["balanced"]["is_balanced"] is False
    assert "one group" in " ".join(group["sentences"])


def test_without_held_out_rows_nothing_can_be_proven() -> None:
    none = assess(statistics(500, 0))
    assert "cannot be shown" in none["sentences"][1]
    few = assess(statistics(500, 20))
    assert few["enough"]["can_be_proven"] is False
    assert few["helps_most"][0]["action"] == "hold_out_more"


def test_the_filter_that_took_most_comes_first_but_copies_are_rightly_dropped() -> None:
    told = assess(statistics(150, 120, filters={"merge": 10, "long_diff": 400}))
    assert [each["action"] for each in told["helps_most"]] == ["review_filter"]
    assert "`long_diff`" in told["helps_most"][0]["sentence"]
    copies = assess(statistics(150, 120, filters={"near_duplicate": 500}))
    assert [each["action"] for each in copies["helps_most"]] == ["vary"]


def test_an_empty_or_tiny_dataset_is_judged_without_a_crash() -> None:
    for train in (0, 1, 19):
        told = assess(statistics(train, 0, {} if train == 0 else None, groups=(0, 0.0)))
        assert told["balanced"]["is_balanced"] is True
        assert told["enough"]["is_enough"] is False
