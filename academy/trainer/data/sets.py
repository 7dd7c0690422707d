"""The rows that a training gets to see: to learn from, to choose by, to prove the gain on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from academy.trainer.data.encoding import ChatEncoder, EncodedRows, Example
from academy.trainer.data.rows import choose_rows, halve, read_rows
from academy.trainer.model.model import load_config, load_tokenizer
from academy.trainer.report import Report
from academy.trainer.spec import BadDataset, BadSpec, Spec
from academy.trainer.stop import StopRequest


@dataclass(frozen=True)
class Data:
    """The encoded rows: to learn from, to choose the best adapter by, to prove the gain on."""

    train: EncodedRows
    choosing: list[Example]
    proving: list[Example]


def read_data(spec: Spec, report: Report, stop: StopRequest) -> tuple[Any, Data]:
    """The tokenizer and the encoded rows; says what was left out. Raises `BadDataset`."""
    config = load_config(spec.base_model.path)
    tokenizer = load_tokenizer(spec.base_model.path)
    wanted = spec.recipe.max_seq_length
    most = min(wanted, getattr(config, "max_position_embeddings", None) or wanted)
    if most < wanted:
        report.log(f"rows are limited to {most} tokens, because the model reads no more")
    encoder = ChatEncoder(tokenizer, most)
    method = spec.recipe.method
    train = encoder.encode_all(read_rows(spec.dataset.path / "train.jsonl", method), stop.check)
    _tell(report, "training", train)
    if not train.rows:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in train.dropped.items())
        raise BadDataset(detail=f"no usable training row is left: {reasons or 'there is none'}")
    heldout_file = spec.dataset.path / "heldout.jsonl"
    rows = read_rows(heldout_file, method) if heldout_file.is_file() else []
    rows = choose_rows(rows, spec.recipe.max_eval_rows, spec.recipe.seed)
    if not rows:
        report.log("there are no held-out rows, so the gain cannot be measured", "warning")
    choosing, proving = rows, rows
    if spec.recipe.early_stopping_patience is not None:
        # Rows that chose the adapter cannot also prove it: the best of many looks is flattered.
        choosing, proving = halve(rows, spec.recipe.seed)
        if not choosing:
            raise BadSpec(detail="early_stopping_patience needs at least two held-out rows")
    encoded = encoder.encode_all(proving, stop.check)
    _tell(report, "held-out", encoded)
    chosen = encoded if choosing is proving else encoder.encode_all(choosing, stop.check)
    return tokenizer, Data(train, chosen.rows, encoded.rows)


def fingerprint(rows: Sequence[Example]) -> str:
    """A sha256 over what the model gets to see of the rows, in their order."""
    sha256 = hashlib.sha256()
    for row in rows:
        for each in row.sequences:
            sha256.update(f"{each.id}\0{len(each.tokens)}\0".encode())
            sha256.update(each.tokens.tobytes() + each.learnt.tobytes())
    return "sha256:" + sha256.hexdigest()


def _tell(report: Report, kind: str, encoded: EncodedRows) -> None:
    tokens = sum(len(each.tokens) for row in encoded.rows for each in row.sequences)
    answers = sum(row.answer_tokens for row in encoded.rows)
    report.log(f"{len(encoded.rows)} {kind} rows, {tokens:,} tokens, {answers:,} of them answers")
    if encoded.cut:
        report.log(f"{encoded.cut} {kind} rows lost the middle of a long prompt", "warning")
    if encoded.unlearnt:
        why = "as they are empty or the chat template rewrites them"
        report.log(f"{encoded.unlearnt} earlier answers in {kind} rows are not learnt, {why}")
    for reason, count in encoded.dropped.items():
        report.log(f"{count} {kind} rows were left out: {reason}", "warning")
