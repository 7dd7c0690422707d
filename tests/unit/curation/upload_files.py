"""Files to upload: a good row of each format, files of given lines, and what is wrong in a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from academy.curation.uploads.formats import Problem, read_row

TURNS = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
GOOD: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "Add them", "input": "1 2", "output": "3", "history": [["a", "b"]]},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]
    },
    "openai": {
        "messages": TURNS,
        "tools": [{"type": "function", "function": {"name": "add"}}],
        "id": "x",
        "source": "git",
    },
    "prompt-completion": {"prompt": "The sky is", "completion": " blue."},
    "preference": {"prompt": "Say it", "chosen": "Gladly.", "rejected": "No."},
}


def upload(tmp_path: Path, *lines: Any, name: str = "rows.jsonl") -> Path:
    path = tmp_path / name
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(texts) + b"\n")
    return path


def check(value: Any, format: str | None, line: int) -> list[Problem]:
    """What is wrong with a row of a file in `format`; empty when nothing is."""
    found = read_row(value, format, line)
    return [found] if isinstance(found, Problem) else []
