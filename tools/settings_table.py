"""Write the table of settings into README.md; a test holds the two together."""

from __future__ import annotations

import inspect
from itertools import groupby
from pathlib import Path

from academy.settings import Settings, places
from academy.settings.rules import Rule

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- settings -->", "<!-- end of settings -->"


def table() -> str:
    """The settings as a Markdown table for each group: variable, default, meaning."""
    return "\n\n".join(
        "\n".join(
            [heading(group), "", "| variable | default | meaning |", "| --- | --- | --- |", *rows]
        )
        for group, rows in (
            (group, [row(place.rule) for place in members])
            for group, members in groupby(places(), key=lambda place: place.group)
        )
    )


def heading(group: str) -> str:
    """What stands above a group's table: ``**Docker** · The containers that train.``"""
    if not group:
        return "**Academy** · The whole installation."
    return f"**{group.capitalize()}** · {inspect.getdoc(getattr(Settings, group))}"


def row(rule: Rule) -> str:
    """One setting's row."""
    default = rule.write(rule.default)
    shown = f"`{default}`" if default else ""
    doc = rule.doc.replace("|", "\\|")
    if rule.also:
        doc += f" (also {', '.join(f'`{name}`' for name in rule.also)})"
    return f"| `{rule.variable}` | {shown} | {doc} |"


def main() -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    after = after if found else rest
    README.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}")


if __name__ == "__main__":
    main()
