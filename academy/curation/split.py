"""Which rows are held out, decided by group and then by time.

Lessons, conversations, runs and uploads go by the hash of their group: a row's side depends on
nothing but its group and the seed, so it is the same in every later dataset. The commits of a
repository go by time: the newest are held out, which is the honest test of a model that will see
tomorrow's commits. Commits keep the side that an earlier dataset gave them (`decided`), so that
what was once held out is never trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from academy.curation.spool import SOURCES, hash64

#: From so many rows on, at least one row is held out and at least one is not.
MIN_ROWS_FOR_HELDOUT = 5
_GIT = SOURCES.index("git")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the split knows of a row. `tie` is the hash of its id, `group` that of its group.

    `cluster` is equal for rows that near duplicates tie together, and None for all others.
    """

    index: int
    source: int
    group: int
    time: int
    tie: int
    cluster: int | None


def held_out(
    rows: Sequence[Candidate],
    fraction: float,
    seed: int,
    decided: Mapping[int, bool],
    tick: Callable[[], None] = lambda: None,
) -> set[int]:
    """The indexes of the rows to hold out; `rows` come in order of time.

    `decided` maps a row's tie to whether an earlier dataset held it out. `tick` is called between
    the passes over the rows and may raise to stop.
    """
    if fraction <= 0:
        return set()
    wanted = {row.index for row in rows if row.source != _GIT and unit(row.group, seed) < fraction}
    wanted |= _newest_commits(rows, fraction, decided)
    tick()
    blocks = _blocks(rows)
    tick()
    sides: dict[int, bool] = {}
    for row, block in zip(rows, blocks, strict=True):
        sides.setdefault(block, row.index in wanted)
    if decided:
        _keep_decided(rows, blocks, decided, sides)
    chosen = {row.index for row, block in zip(rows, blocks, strict=True) if sides[block]}
    return _at_least_one(rows, blocks, chosen, seed)


def unit(group: int, seed: int) -> float:
    """A number in [0, 1) that depends on the group and the seed alone."""
    return hash64(f"{seed}:{group:016x}") / 2**64


def _newest_commits(
    rows: Sequence[Candidate], fraction: float, decided: Mapping[int, bool]
) -> set[int]:
    by_repository: dict[int, list[Candidate]] = {}
    for row in rows:
        if row.source == _GIT and row.tie not in decided:
            by_repository.setdefault(row.group, []).append(row)
    newest: set[int] = set()
    for commits in by_repository.values():
        count = round(len(commits) * fraction)
        newest |= {row.index for row in commits[len(commits) - count :]}
    return newest


def _blocks(rows: Sequence[Candidate]) -> list[int]:
    """A number for each row, equal for rows that must lie on one side.

    A block is a group (a commit, as a repository is split by time), or several that a cluster of
    near duplicates ties together.
    """
    own = [row.tie if row.source == _GIT else row.group for row in rows]
    parents: dict[int, int] = {}

    def find(block: int) -> int:
        while block in parents:
            block = parents[block]
        return block

    first: dict[int, int] = {}
    for row, block in zip(rows, own, strict=True):
        if row.cluster is not None:
            earliest, mine = find(first.setdefault(row.cluster, block)), find(block)
            if earliest != mine:
                parents[mine] = earliest
    return [find(block) for block in own]


def _keep_decided(
    rows: Sequence[Candidate],
    blocks: Sequence[int],
    decided: Mapping[int, bool],
    sides: dict[int, bool],
) -> None:
    """A block goes where its rows went before; having been held out once outweighs all else."""
    before: dict[int, bool] = {}
    for row, block in zip(rows, blocks, strict=True):
        if row.tie in decided:
            before[block] = before.get(block, False) or decided[row.tie]
    sides.update(before)


def _at_least_one(
    rows: Sequence[Candidate], blocks: Sequence[int], chosen: set[int], seed: int
) -> set[int]:
    """With five rows or more neither side stays empty: the newest commit, or a group, moves."""
    if len(rows) < MIN_ROWS_FOR_HELDOUT or 0 < len(chosen) < len(rows):
        return chosen
    commits = [at for at, row in enumerate(rows) if row.source == _GIT]
    by_hash = sorted(range(len(rows)), key=lambda at: (unit(rows[at].group, seed), rows[at].tie))
    moved = blocks[commits[-1] if commits and not chosen else by_hash[0]]
    members = {row.index for row, block in zip(rows, blocks, strict=True) if block == moved}
    # A single block cannot be torn apart, so then one side does stay empty.
    return chosen if len(members) == len(rows) else chosen ^ members
