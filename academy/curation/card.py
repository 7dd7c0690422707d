"""The dataset's card: what is in it, where it comes from and what was left out, in words."""

from __future__ import annotations

from typing import Any


def write_card(statistics: dict[str, Any], request: dict[str, Any]) -> str:
    """Markdown for people; it holds no time and no path, so equal data has an equal card."""
    counted = statistics["input"]
    lines = [
        "# Dataset card",
        "",
        f"{statistics['total_examples']} examples: {statistics['train_rows']} to train on and "
        f"{statistics['heldout_rows']} held out. {counted['read']} records were read, "
        f"{counted['dropped']} dropped.",
        "",
        "## Sources",
        "",
        "| source | read | kept |",
        "| --- | ---: | ---: |",
    ]
    lines += [
        f"| {name} | {each['read']} | {each['kept']} |"
        for name, each in statistics["sources"].items()
    ]
    lines += ["", "## What was dropped", ""]
    if statistics["filters"]:
        lines += ["| filter | rows |", "| --- | ---: |"]
        lines += [f"| {name} | {count} |" for name, count in statistics["filters"].items()]
        lines += ["", "`drops.jsonl` shows up to 20 rows of each, with what the filter matched."]
    else:
        lines.append("Nothing.")
    lines += ["", "## What was changed", ""]
    lines += [f"- {name}: {count} rows" for name, count in statistics["touched"].items()] or [
        "Nothing."
    ]
    lines += [
        "",
        "## How it was split",
        "",
        f"A share of {request['heldout_fraction']} was held out: lessons and conversations by the "
        "hash of their group, commits by time (the newest of each repository). Near duplicates "
        "never lie on both sides.",
        "",
        "## Is there enough?",
        "",
        *[f"- {sentence}" for sentence in advice(statistics)],
        "",
        "## Settings",
        "",
        *[f"- `{name}`: {value!r}" for name, value in sorted(request.items())],
        "",
    ]
    return "\n".join(lines)


def advice(statistics: dict[str, Any]) -> list[str]:
    """What a teacher would say about the data: enough, balanced, and what would help most."""
    said = []
    train, kept = statistics["train_rows"], statistics["input"]["kept"]
    if train < 100:
        said.append(
            f"{train} training rows are few; about {100 - train} more would make a first training "
            "worth its time."
        )
    else:
        said.append(f"{train} training rows are enough for a first adapter.")
    if 0 < statistics["heldout_rows"] < 100:
        said.append(
            f"{statistics['heldout_rows']} held-out rows show large gains only; a small gain needs "
            "100 or more to be told from noise."
        )
    for name, each in statistics["sources"].items():
        if kept >= 20 and each["kept"] > 0.9 * kept and len(statistics["sources"]) > 1:
            said.append(
                f"{each['kept'] / kept:.0%} of the rows come from {name}: it will dominate."
            )
    read = statistics["input"]["read"]
    if statistics["filters"]:
        name, count = max(statistics["filters"].items(), key=lambda item: (item[1], item[0]))
        if count * 4 > read:
            said.append(
                f"`{name}` dropped {count / read:.0%} of the input; look at its samples first."
            )
    return said
