"""Keeping what was held out, once and anywhere, out of what is trained on.

The rule: a training row is dropped when at least 70% of the runs of 13 words of a held-out row
occur in it. Runs of 13 words are GPT-3's measure of an overlap (Brown et al. 2020, appendix C), and
70% is PaLM's threshold (Chowdhery et al. 2022, section 8); a single run would drop half of a code
base, whose files begin alike. Of each held-out row the 16 runs with the smallest hashes are kept
(a bottom-k sketch, Broder 1997), so the share is an estimate, and memory is 200 bytes a row at
most. A row of fewer than 13 words is compared as a whole.
"""

from __future__ import annotations

from array import array
from functools import cache
from pathlib import Path
from typing import Any

from academy.curation.spool import hash64
from academy.curation.words import words_of

WORDS = 13
SHARE = 0.7
SAMPLED_RUNS = 16
#: Changes with the rule, so that no sketch of another rule is loaded.
SKETCH_VERSION = 1
_FACTOR = 0x9E3779B97F4A7C15
_REMEMBERED_WORDS = 500_000


class HeldOut:
    """Sketches of held-out rows. Add all of them first, then ask."""

    def __init__(self) -> None:
        self._ids = array("Q")
        self._sizes = array("B")
        self._hashes = array("Q")  # `_sizes[n]` of them for the row n
        self._seen: set[int] = set()
        self._words = _WordHashes()
        self._index: tuple[Any, Any, Any] | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, row_id: str, text: str) -> None:
        """Take a held-out row in; one that is known by its id stays as it is."""
        key = hash64(row_id)
        if key in self._seen:
            return
        import numpy as np

        runs = np.unique(self._runs(text))[:SAMPLED_RUNS]
        self._append(key, runs)

    def match(self, text: str) -> str | None:
        """How much of which held-out row occurs in `text`, if it is too much."""
        if not self._ids:
            return None
        import numpy as np

        hashes, owners, sizes = self._sorted()
        runs = self._runs(text)
        if not len(hashes):
            return None
        # Behind the last hash lies none: the last one stands for it, and is not equal.
        places = hashes.searchsorted(runs)
        known = hashes.take(places, mode="clip") == runs
        places = places[known]
        # Too few for even the shortest of their rows, as with nearly every text.
        if not len(places) or len(places) / sizes[owners[places]].min() < SHARE:
            return None
        runs = np.unique(runs[known])
        first = np.searchsorted(hashes, runs, side="left")
        last = np.searchsorted(hashes, runs, side="right")
        found = np.concatenate([owners[a:b] for a, b in zip(first, last, strict=True)])
        rows, counts = np.unique(found, return_counts=True)
        shares = counts / sizes[rows]
        worst = int(np.argmax(shares))
        if shares[worst] < SHARE:
            return None
        return f"{shares[worst]:.0%} of the sampled runs of words of a held-out row"

    def save(self, path: Path) -> None:
        """Write the sketches, so that the rows need not be read again."""
        import numpy as np

        with path.open("wb") as stream:
            np.savez(
                stream,
                ids=np.frombuffer(self._ids, dtype=np.uint64),
                sizes=np.frombuffer(self._sizes, dtype=np.uint8),
                hashes=np.frombuffer(self._hashes, dtype=np.uint64),
            )

    def load(self, path: Path) -> None:
        """Take in what `save` wrote. Raises `ValueError` for a damaged file."""
        import numpy as np

        with path.open("rb") as stream:
            try:
                stored = np.load(stream, allow_pickle=False)
                ids, sizes, hashes = stored["ids"], stored["sizes"], stored["hashes"]
            except Exception as error:  # zipfile and numpy raise a dozen kinds of it
                raise ValueError(f"{path.name} holds no sketches ({error})") from error
        at = 0
        for key, size in zip(ids.tolist(), sizes.tolist(), strict=True):
            if key not in self._seen:
                self._append(key, hashes[at : at + size])
            at += size

    def _append(self, key: int, runs: Any) -> None:
        self._seen.add(key)
        self._ids.append(key)
        self._sizes.append(len(runs))
        self._hashes.frombytes(runs.astype("uint64").tobytes())
        self._index = None

    def _sorted(self) -> tuple[Any, Any, Any]:
        """All hashes in order, the row of each (the shortest first), and how many each row has."""
        if self._index is None:
            import numpy as np

            hashes = np.array(self._hashes, dtype=np.uint64)
            sizes = np.array(self._sizes, dtype=np.uint8)
            owners = np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)
            order = np.lexsort((sizes[owners], hashes))
            self._index = hashes[order], owners[order], sizes
        return self._index

    def _runs(self, text: str) -> Any:
        """A 64-bit hash for each run of 13 words, or one for a text that has fewer."""
        import numpy as np

        words = words_of(text)
        if len(words) < WORDS:
            whole = " ".join(words)
            return np.array([hash64(whole)] if whole else [], dtype=np.uint64)
        known = self._words
        if len(known) > _REMEMBERED_WORDS:
            known.clear()
        hashes = np.frombuffer(b"".join(map(known.__getitem__, words)), dtype=">u8")
        # A polynomial modulo 2^64 over each run, its last word first; overflow wraps.
        runs = np.convolve(hashes.astype(np.uint64), _powers(), mode="valid")
        return runs ^ (runs >> np.uint64(31))


@cache
def _powers() -> Any:
    import numpy as np

    powers = [pow(_FACTOR, power, 1 << 64) for power in range(WORDS)]
    return np.array(powers, dtype=np.uint64)


class _WordHashes(dict[str, bytes]):
    """The eight bytes of each word's hash, the highest first."""

    def __missing__(self, word: str) -> bytes:
        self[word] = found = hash64(word).to_bytes(8, "big")
        return found
