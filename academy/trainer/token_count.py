"""``python -m academy.trainer.token_count SPEC.json``: how many tokens a training's rows become.

Standard output carries one JSON object: ``lengths`` and ``answers`` of the usable rows in tokens,
``tokens`` (all of them), ``cut``, ``unlearnt`` (earlier answers), ``dropped`` by reason, and
``cpu_rate``, the FLOP a second of a matrix product here. Exit status 2 and ``error`` for what
cannot be trained on. Nothing is loaded but the tokenizer, so it takes seconds where a trainer takes
minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from academy.basemodels.shape import read_shape
from academy.basemodels.tokenizer import ChatTokenizer, NoChatTokenizer
from academy.errors import AcademyError
from academy.trainer.data.encoding import ChatEncoder
from academy.trainer.data.rows import read_rows
from academy.trainer.spec import BadSpec, Spec, read_spec, verify_dataset


def main(arguments: list[str] | None = None) -> int:
    """Count as the command line says; the exit status."""
    parser = argparse.ArgumentParser(prog="academy.trainer.token_count", description=__doc__)
    parser.add_argument("spec", type=Path, help="the spec file")
    try:
        spec = read_spec(parser.parse_args(arguments).spec)
        verify_dataset(spec.dataset)
        answer = count(spec)
    except AcademyError as error:
        sys.stdout.write(json.dumps({"error": error.failure()}))
        return 2
    sys.stdout.write(json.dumps(answer))
    return 0


def count(spec: Spec) -> dict[str, Any]:
    """Encode the training rows as the trainer does; raises `BadSpec` or `BadDataset`."""
    recipe = spec.recipe
    longest = read_shape(spec.base_model.path).longest or recipe.max_seq_length
    try:
        tokenizer = ChatTokenizer(spec.base_model.path)
    except NoChatTokenizer as error:
        raise BadSpec(detail=str(error)) from error
    encoder = ChatEncoder(tokenizer, min(recipe.max_seq_length, longest))
    rows = read_rows(spec.dataset.path / "train.jsonl", recipe.method)
    encoded = encoder.encode_all(rows, lambda: None)
    return {
        "lengths": [row.length for row in encoded.rows],
        "answers": [row.answer_tokens for row in encoded.rows],
        "tokens": sum(len(each.tokens) for row in encoded.rows for each in row.sequences),
        "cut": encoded.cut,
        "unlearnt": encoded.unlearnt,
        "dropped": encoded.dropped,
        "cpu_rate": _matrix_rate(),
    }


def _matrix_rate() -> float:
    """FLOP a second of a plain float32 matrix product, the best of four."""
    matrix = np.full((768, 768), 0.5, dtype=np.float32)
    best = 0.0
    for _ in range(4):
        began = time.perf_counter()
        matrix @ matrix
        best = max(best, 2 * 768**3 / (time.perf_counter() - began))
    return best


if __name__ == "__main__":
    sys.exit(main())
