"""What is masked in the newest commits of repositories, line by line, to be judged by hand.

    python benchmarks/masks.py [--commits 300] [REPOSITORY…]

Prints each changed line that lost a part, as it was and as it became, so that somebody can count
those that were no address, no name and no secret. Results, without the lines, go to
benchmarks/results/masks.json; ``--false N`` records what was counted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from academy.curation.git.examples import open_repositories, read_examples
from academy.curation.git.outcome import Dropped
from academy.curation.people import mask_people
from academy.curation.request import CurationRequest
from academy.secrecy.redact import redact

RESULTS = Path(__file__).parent / "results" / "masks.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    own = [Path(__file__).resolve().parents[1]]
    parser.add_argument("repositories", nargs="*", type=Path, default=own)
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--false", type=int, help="how many of the masks were judged to be wrong")
    options = parser.parse_args()
    sides = [measure(each.resolve(), options.commits) for each in options.repositories]
    lines = sum(each["changed_lines"] for each in sides)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "commits": options.commits,
        "repositories": sides,
        "changed_lines": lines,
        "masked_lines": sum(each["masked_lines"] for each in sides),
        "false_masks": options.false,
    }
    if options.false is not None:
        result["false_masks_in_1000_changed_lines"] = round(1000 * options.false / lines, 3)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def measure(path: Path, commits: int) -> dict[str, Any]:
    """Counts for one repository; what was masked is printed."""
    request = CurationRequest(git_commits_limit=commits, repositories=(str(path),))
    ((name, repository),) = open_repositories([str(path)], [path.parent])
    kept = changed = masked = 0
    kinds: Counter[str] = Counter()
    drops: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for each in read_examples(name, repository, request, Path(scratch), lambda: None):
            if isinstance(each, Dropped):
                drops[each.filter] += 1
                continue
            kept += 1
            said = "\n".join(message["content"] for message in each.row.messages)
            for line in said.split("\n"):
                changed += line[:1] in ("+", "-")
                found = redact(line)
                text, people = mask_people(found.text, each.author)
                kinds.update([*found.kinds, *(["people"] if people else [])])
                if text != line:
                    masked += 1
                    print(f"{path.parent.name}: {line[:200]}\n    -> {text[:200]}")
    return {
        "name": path.parent.name if path.name == "repo" else path.name,
        "kept": kept,
        "changed_lines": changed,
        "masked_lines": masked,
        "kinds": dict(kinds),
        "dropped": dict(drops),
    }


if __name__ == "__main__":
    main()
