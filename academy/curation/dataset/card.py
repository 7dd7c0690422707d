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
    lines += ["", "## How long rows are", "", *_lengths(statistics)]
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
        *[f"- {sentence}" for sentence in statistics["professor"]["sentences"]],
        "",
        "## Settings",
        "",
        *[f"- `{name}`: {value!r}" for name, value in sorted(request.items())],
        "",
    ]
    return "\n".join(lines)


def _lengths(statistics: dict[str, Any]) -> list[str]:
    lines = [
        f"A prompt has {statistics['avg_input_length']} characters on average, an answer "
        f"{statistics['avg_output_length']}."
    ]
    tokens = statistics["lengths"].get("tokens")
    if tokens is not None:
        lines.append(
            f"Together they are {tokens['total']} tokens; the longest row has {tokens['longest']}."
        )
    return lines
