"""Which rows are held out, decided by group and then by time, once and for ever.

Lessons, conversations, runs and uploads go by the hash of their group: a row's side depends on
nothing but its group and the seed. The commits of a repository go by time: the newest are held
out, which is the honest test of a model that will see tomorrow's commits. What an earlier dataset
decided (`decided`) stays, whatever seed and fraction are asked for now: what was held out is never
trained on, and what was trained on is no test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType

from academy.curation.split.decisions import Decisions
from academy.curation.split.previous_splits import Sides
from academy.curation.split.ties import Turns
from academy.curation.spool import SOURCES, hash64

#: From so many rows on, at least one row is held out and at least one is not.
MIN_ROWS_FOR_HELDOUT = 5
_GIT = SOURCES.index("git")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the split knows of a row. `tie` is the hash of its id, `group` that of its group.

    `cluster` is equal for rows that near duplicates tie together, `tied` for rows that say the same
    somewhere (`academy.curation.split.ties`); they are None for all others.
    """

    index: int
    source: int
    group: int
    time: int
    tie: int
    cluster: int | None
    tied: int | None = None

    @property
    def key(self) -> int:
        """What is decided for ever: a group, or one commit, as a repository is split by time."""
        return self.tie if self.source == _GIT else self.group


@dataclass(frozen=True)
class Split:
    """The indexes of the rows to hold out, and of those that can lie on neither side.

    A row straddles when near duplicates tie a group that was trained on to one that was held out.
    Moving either would break its word, so what was trained on is left out.
    """

    held_out: set[int]
    straddling: set[int]


def split(
    rows: Sequence[Candidate],
    fraction: float,
    seed: int,
    sides: Sides | None,
    turns: Turns | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Split:
    """Split `rows`, which come in order of time, and have the new groups' sides remembered.

    `turns` is what the rows say; its sides are remembered, too. Without `sides` nothing was decided
    before, and nothing is remembered. `tick` is called between the passes over the rows and may
    raise to stop.
    """
    import numpy as np

    turns = Turns() if turns is None else turns
    if sides is None:
        return held_out(rows, fraction, seed, {}, tick=tick)
    keys = np.fromiter((row.key for row in rows), dtype=np.uint64, count=len(rows))

    def judge(decided: Decisions) -> Split:
        return held_out(
            rows, fraction, seed, decided.among(keys), turns.sides_of_rows(decided), tick
        )

    decided = Decisions.remembered(sides, np.union1d(keys, turns.keys()), tick)
    found = judge(decided)
    chosen = found.held_out
    of_rows = np.fromiter((row.index in chosen for row in rows), dtype=bool, count=len(rows))
    of_turns = turns.sides(chosen, found.straddling)
    new = of_turns.overruled_by(Decisions(keys, of_rows)).without(decided)
    for part in new.parts():
        tick()
        sides.decide(part)
    # Somebody who curates at the same time may have been first, and the first word counts.
    after = Decisions.remembered(sides, new.keys, tick)
    return found if after == new else judge(decided.overruled_by(after))


def held_out(
    rows: Sequence[Candidate],
    fraction: float,
    seed: int,
    decided: Mapping[int, bool],
    said: Mapping[int, frozenset[bool]] = MappingProxyType({}),
    tick: Callable[[], None] = lambda: None,
) -> Split:
    """The split of `rows`, a pure function; `decided` maps a row's key to its side before, and
    `said` a row's index to the sides of what it says.
    """

    def earlier(row: Candidate) -> set[bool]:
        own = decided.get(row.key)
        return {*said.get(row.index, ()), *(() if own is None else (own,))}

    wanted = {row.index for row in rows if row.source != _GIT and unit(row.group, seed) < fraction}
    wanted |= _newest_commits(rows, fraction, decided)
    tick()
    blocks = _blocks(rows)
    tick()
    before: dict[int, bool] = {}
    sides: dict[int, bool] = {}
    for row, block in zip(rows, blocks, strict=True):
        sides.setdefault(block, row.index in wanted)
        for side in earlier(row):
            before[block] = before.get(block, False) or side
    # What a large part of the rows belongs to is learnt from: held out, it would leave too little.
    most = min(0.5, max(0.1, 2 * fraction)) * len(rows)
    main = [block for block, size in Counter(blocks).items() if size > most]
    sides.update(dict.fromkeys(main, False))
    # A block goes where its rows went before; having been held out once outweighs all else.
    sides.update(before)
    tick()
    chosen = {row.index for row, block in zip(rows, blocks, strict=True) if sides[block]}
    if fraction > 0:
        chosen = _at_least_one(rows, blocks, chosen, seed, {*before, *main})
    straddling = {row.index for row in rows if row.index in chosen and False in earlier(row)}
    return Split(chosen - straddling, straddling)


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

    A block is what is decided at once, or several of these that near duplicates or equal turns tie
    together.
    """
    parents: dict[int, int] = {}

    def find(block: int) -> int:
        while block in parents:
            above = parents[block]
            if above in parents:  # shortens the way for those who come later
                parents[block] = parents[above]
            block = above
        return block

    first: dict[tuple[bool, int], int] = {}
    for row in rows:
        for by_turn, tie in ((False, row.cluster), (True, row.tied)):
            if tie is None:
                continue
            earliest, mine = find(first.setdefault((by_turn, tie), row.key)), find(row.key)
            if earliest != mine:
                parents[mine] = earliest
    return [find(row.key) for row in rows]


def _at_least_one(
    rows: Sequence[Candidate],
    blocks: Sequence[int],
    chosen: set[int],
    seed: int,
    fixed: Set[int],
) -> set[int]:
    """With five rows or more neither side stays empty: the newest commit, or a group, moves.

    The blocks in `fixed` do not move, and a single block cannot be torn apart.
    """
    if len(rows) < MIN_ROWS_FOR_HELDOUT or 0 < len(chosen) < len(rows):
        return chosen
    free = [at for at in range(len(rows)) if blocks[at] not in fixed]
    if not free:
        return chosen
    commits = [at for at in free if rows[at].source == _GIT]
    by_hash = min(free, key=lambda at: (unit(rows[at].group, seed), rows[at].tie))
    moved = blocks[commits[-1] if commits and not chosen else by_hash]
    members = {row.index for row, block in zip(rows, blocks, strict=True) if block == moved}
    return chosen if len(members) == len(rows) else chosen ^ members
