"""Two datasets are compared by the ids of their rows, whatever their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from academy.curation.dataset.difference import compare_rows, compare_values
from academy.curation.dataset.row_table import RowTable, make_table, table_of

Said = dict[str, tuple[str, str]]


def table(folder: Path, rows: Said) -> RowTable:
    """The table of a dataset with these rows: id to side and answer."""
    folder.mkdir(parents=True)
    for side in ("train", "heldout"):
        lines = [
            json.dumps({"id": each, "messages": [{"role": "assistant", "content": text}]})
            for each, (at, text) in rows.items()
            if at == side
        ]
        (folder / f"{side}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    make_table(folder, folder / "table.npy")
    return table_of(folder, folder / "table.npy")


def ids_at(table: RowTable, entries: Any, rows: Said) -> list[str]:
    found = []
    for entry in entries:
        side, line = table.where(int(entry))
        found.append([each for each, (at, _) in rows.items() if at == side][line])
    return found


_DATASET = st.dictionaries(
    st.sampled_from([f"row-{n}" for n in range(12)]),
    st.tuples(st.sampled_from(["train", "heldout"]), st.sampled_from(["yes", "no"])),
)


@settings(deadline=None)  # it writes files, and the machine may be busy
@given(before=_DATASET, after=_DATASET)
def test_the_comparison_is_that_of_two_dictionaries(
    tmp_path_factory: Any, before: Said, after: Said
) -> None:
    folder = tmp_path_factory.mktemp("datasets")
    a, b = table(folder / "a", before), table(folder / "b", after)
    found = compare_rows(a, b)
    common = before.keys() & after.keys()
    changed = {each for each in common if before[each][1] != after[each][1]}
    moved = {each for each in common if before[each][0] != after[each][0]}
    assert set(ids_at(b, found.added, after)) == after.keys() - before.keys()
    assert set(ids_at(a, found.removed, before)) == before.keys() - after.keys()
    assert set(ids_at(b, found.changed[:, 1], after)) == changed
    assert ids_at(a, found.changed[:, 0], before) == ids_at(b, found.changed[:, 1], after)
    assert set(ids_at(a, found.moved[:, 0], before)) == moved
    assert found.unchanged == len(common) - len(changed)
    order = [side for side, _ in map(b.where, map(int, found.added))]
    assert order == sorted(order, reverse=True)  # the training rows come first


def test_a_table_is_made_in_a_process_of_its_own_where_none_is(tmp_path: Path) -> None:
    for side in ("train", "heldout"):
        (tmp_path / f"{side}.jsonl").write_text(f'{{"id": "{side}", "messages": []}}\n')
    made = table_of(tmp_path, tmp_path / "cache" / "rows.npy")
    assert sorted(made.where(entry) for entry in range(2)) == [("heldout", 0), ("train", 0)]


def test_values_are_compared_by_their_paths() -> None:
    a = {"same": 1, "filters": {"bot": 2, "merge": 1}, "gone": [1]}
    b = {"same": 1, "filters": {"bot": 3, "merge": 1}, "new": None, "more": {"x": True}}
    assert compare_values(a, b) == {
        "filters.bot": {"a": 2, "b": 3},
        "gone": {"a": [1], "b": None},
        "more.x": {"a": None, "b": True},
    }
