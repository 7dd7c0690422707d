"""Many sides of the split at once, in arrays of nine bytes a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from academy.curation.split.previous_splits import Sides

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Keys that are asked for, or decided, at once.
_AT_ONCE = 50_000


class Decisions:
    """Which of some keys (64-bit, unsigned, of groups, commits and turns) are held out.

    `keys` is in order, each key once; `held_out` has a truth value for each. Of a key that was
    given more than once the last side counts.
    """

    def __init__(self, keys: ArrayLike = (), held_out: ArrayLike = ()) -> None:
        import numpy as np

        backwards = np.asarray(keys, dtype=np.uint64)[::-1]
        self.keys, last = np.unique(backwards, return_index=True)
        self.held_out = np.asarray(held_out, dtype=bool)[::-1][last]

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        import numpy as np

        return isinstance(other, Decisions) and bool(
            np.array_equal(self.keys, other.keys) and np.array_equal(self.held_out, other.held_out)
        )

    __hash__ = None  # type: ignore[assignment]  # it is as large as a dataset

    @classmethod
    def remembered(cls, sides: Sides, keys: Any, tick: Callable[[], None]) -> Decisions:
        """What `sides` knows of the `keys`; `tick` is called in between and may raise to stop."""
        import numpy as np

        found = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=bool)]
        for start in range(0, len(keys), _AT_ONCE):
            tick()
            known = sides.known(keys[start : start + _AT_ONCE].tolist())
            found[0].append(np.fromiter(known, dtype=np.uint64, count=len(known)))
            found[1].append(np.fromiter(known.values(), dtype=bool, count=len(known)))
        return cls(np.concatenate(found[0]), np.concatenate(found[1]))

    def parts(self) -> Iterator[dict[int, bool]]:
        """All of them, some thousands at a time, in order of the key."""
        for start in range(0, len(self), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            yield dict(zip(self.keys[part].tolist(), self.held_out[part].tolist(), strict=True))

    def sides_of(self, keys: Any) -> tuple[Any, Any]:
        """For each of `keys` whether it is decided, and whether it is held out."""
        import numpy as np

        if not len(self):
            return np.zeros(len(keys), dtype=bool), np.zeros(len(keys), dtype=bool)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self) - 1)
        known = self.keys[places] == keys
        return known, known & self.held_out[places]

    def among(self, keys: Any) -> dict[int, bool]:
        """Those of `keys` that are decided."""
        known, held_out = self.sides_of(keys)
        return dict(zip(keys[known].tolist(), held_out[known].tolist(), strict=True))

    def without(self, others: Decisions) -> Decisions:
        """Those whose key `others` does not have."""
        known, _ = others.sides_of(self.keys)
        return Decisions(self.keys[~known], self.held_out[~known])

    def overruled_by(self, others: Decisions) -> Decisions:
        """These and `others`, which count where both know a key."""
        import numpy as np

        return Decisions(
            np.concatenate([self.keys, others.keys]),
            np.concatenate([self.held_out, others.held_out]),
        )
