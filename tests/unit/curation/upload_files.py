"""Files to upload: a good row of each format, and files of given lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
