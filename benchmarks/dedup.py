"""Near duplicates: Academy beside datasketch, on the same planted rows, each in its own process.

    python benchmarks/dedup.py [--rows 50000]

A fifth of the rows are copies of an earlier original with some words changed. A duplicate is what
has an exact Jaccard similarity of shingles (runs of three words) of at least 0.8. Recall is over
the planted copies, precision over the pairs that a side reports. Results go to
benchmarks/results/dedup.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from academy.curation.dedup import Sketches, find_duplicates, jaccard, shingles

THRESHOLD = 0.8
RESULTS = Path(__file__).parent / "results" / "dedup.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.rows)))
        return
    sides = {}
    for name in SIDES:
        command = [sys.executable, __file__, f"--only={name}", f"--rows={options.rows}"]
        sides[name] = json.loads(subprocess.check_output(command))
    ratio = sides["datasketch"]["seconds"] / sides["academy"]["seconds"]
    results = {
        "rows": options.rows,
        "threshold": THRESHOLD,
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()},
        "sides": sides,
        "datasketch_over_academy": round(ratio, 1),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{'side':<12}{'seconds':>10}{'peak MiB':>10}{'recall':>9}{'precision':>11}{'found':>8}")
    for name, side in sides.items():
        print(
            f"{name:<12}{side['seconds']:>10}{side['peak_mib']:>10}{side['recall']:>9}"
            f"{side['precision']:>11}{side['found']:>8}"
        )
    print(f"datasketch takes {results['datasketch_over_academy']} times as long")


def measure(name: str, rows: int) -> dict[str, Any]:
    """Time, peak memory beyond the rows themselves, recall and precision of one side."""
    texts, planted = make_rows(rows)
    before = peak_mib()
    began = time.perf_counter()
    pairs = SIDES[name](texts)
    seconds = time.perf_counter() - began
    peak = peak_mib()
    sets = {i: frozenset(shingles(texts[i])) for pair in pairs.items() for i in pair}
    right = sum(jaccard(sets[i], sets[j]) >= THRESHOLD for i, j in pairs.items())
    return {
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "peak_mib": round(peak, 1),
        "rows_alone_mib": round(before, 1),
        "planted": len(planted),
        "found": len(pairs),
        "recall": round(len(planted & pairs.keys()) / len(planted), 4),
        "precision": round(right / max(1, len(pairs)), 4),
    }


def make_rows(count: int) -> tuple[list[str], set[int]]:
    """Rows of 30 to 120 words, and which of them are near duplicates of an earlier one."""
    chance = random.Random(3)
    words = [f"word{number}" for number in range(20_000)]
    texts: list[str] = []
    planted: set[int] = set()
    for index in range(count):
        if index % 5 == 4:
            source = chance.randrange(len(texts) // 5 + 1) * 5  # an original, never a copy
            changed = texts[source].split()
            for _ in range(chance.randint(1, max(1, len(changed) // 25))):
                changed[chance.randrange(len(changed))] = chance.choice(words)
            text = " ".join(changed)
            left, right = frozenset(shingles(text)), frozenset(shingles(texts[source]))
            if jaccard(left, right) >= THRESHOLD:
                planted.add(index)
            texts.append(text)
        else:
            texts.append(" ".join(chance.choices(words, k=chance.randint(30, 120))))
    return texts, planted


def academy(texts: list[str]) -> dict[int, int]:
    """Each dropped row with the row that stays."""
    sketches = Sketches()
    for text in texts:
        sketches.add(text)
    found = find_duplicates(
        range(len(texts)), None, sketches, lambda index: texts[index], THRESHOLD, lambda _: None
    )
    return found.near


def datasketch(texts: list[str]) -> dict[int, int]:
    """The same rule on datasketch's index, as its documentation shows it: no exact check."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    near: dict[int, int] = {}
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([each.encode() for each in set(shingles(text))])
        matches = index.query(sketch)
        if matches:
            near[number] = min(matches)
        else:
            index.insert(number, sketch)
    return near


SIDES: dict[str, Callable[[list[str]], dict[int, int]]] = {
    "academy": academy,
    "datasketch": datasketch,
}


def peak_mib() -> float:
    """The largest resident set of this process (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
