"""``make screens``: record `make demo` as docs/demo.svg, the picture in the README.

The middle of the training's log is left out, so that the picture fits a page.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100
#: Lines shown of each part between two headings, from its beginning and from its end.
HEAD, TAIL = 10, 9
LONGEST = 26


def main() -> int:
    """Run the demonstration, show it, and draw what it printed; its exit status."""
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "examples" / "demo.py")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": str(WIDTH), "TERM": "dumb"},
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            sys.stdout.write(line)
            lines.append(line.rstrip("\n").replace(str(ROOT), "…"))
    if demo.returncode == 0:
        draw(lines, ROOT / "docs" / "demo.svg")
    return demo.returncode


def draw(lines: list[str], path: Path) -> None:
    """Write the lines as an SVG picture of a terminal."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print("$ make demo", style="bold")
    for line in shortened(lines):
        console.print(Text(line), soft_wrap=True)
    console.save_svg(str(path), title="make demo")


def shortened(lines: list[str]) -> list[str]:
    """The lines without the middle of long parts (tables are kept whole)."""
    shown: list[str] = []
    part: list[str] = []
    for line in [*lines, "───"]:
        if line.startswith("───"):
            is_long = len(part) > LONGEST and not any("│" in each for each in part)
            shown += [*part[:HEAD], "  ⋮", *part[-TAIL:]] if is_long else part
            part = []
        part.append(line)
    return shown


if __name__ == "__main__":
    sys.exit(main())
