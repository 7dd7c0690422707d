"""Write the table of settings into README.md; a test holds the two together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from academy.settings import Settings

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- settings -->", "<!-- end of settings -->"


def table() -> str:
    """The settings as a Markdown table: variable, default, meaning."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for each in dataclasses.fields(Settings):
        default = f"`{each.default}`" if str(each.default) else ""
        meaning = str(each.metadata["doc"]).replace("|", "\\|")
        lines.append(f"| `ACADEMY_{each.name.upper()}` | {default} | {meaning} |")
    return "\n".join(lines)


def main() -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    after = after if found else rest
    README.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}")


if __name__ == "__main__":
    main()
