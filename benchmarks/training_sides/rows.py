"""Rows of mixed length to train on, the same ones each time."""

from __future__ import annotations

import json
import random
import sysconfig
from pathlib import Path


def write_rows(folder: Path, count: int) -> None:
    """Rows of 60 to 700 tokens, most of them short, from the standard library's sources.

    `folder` gets `count` of them to train on and 16 that are held out.
    """
    chance = random.Random(7)
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    rows: list[str] = []
    while len(rows) < count + 16:
        lines = chance.choice(sources).read_text(errors="replace").splitlines()
        size = min(60, max(4, round(chance.lognormvariate(2.7, 0.7))))
        if len(lines) < size + 4:
            continue
        start = chance.randrange(len(lines) - size - 3)
        prompt, answer = lines[start : start + size], lines[start + size : start + size + 3]
        if not "".join(answer).strip():
            continue
        messages = [
            {"role": "user", "content": "Write the next three lines.\n\n" + "\n".join(prompt)},
            {"role": "assistant", "content": "\n".join(answer)},
        ]
        rows.append(json.dumps({"id": f"row-{len(rows)}", "messages": messages}) + "\n")
    (folder / "train.jsonl").write_text("".join(rows[:count]))
    (folder / "heldout.jsonl").write_text("".join(rows[count:]))
