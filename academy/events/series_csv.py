"""A training's series as CSV (RFC 4180): a row for each step and for each evaluation."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from typing import Any

MEDIA_TYPE = "text/csv"

#: The columns that are always there, in this order. What other trainers tell besides comes behind
#: them, by name, so that no column of these ever moves.
COLUMNS = (
    "type",
    "step",
    "total_steps",
    "epoch",
    "progress",
    "name",
    "rows",
    "loss",
    "reward_margin",
    "reward_accuracy",
    "learning_rate",
    "grad_norm",
    "tokens",
    "tokens_per_second",
    "memory_bytes",
    "eta_seconds",
    "eta_low",
    "eta_high",
    "id",
    "timestamp",
)


def lines_of(series: dict[str, Any]) -> Iterator[str]:
    """The lines of a `history.series`, the header first, each with its CR LF.

    Rows come by step; of one step the metrics come before the evaluation. Floating-point numbers
    have as many digits as it takes to read the same number again. What is unknown or no finite
    number is empty.
    """
    rows = [*series["metrics"], *series["evaluations"]]
    rows.sort(key=lambda row: (row.get("step") or 0, row["type"] != "metrics"))
    further = sorted({name for row in rows for name in row} - set(COLUMNS))
    columns = [*COLUMNS, *further]
    yield _line(columns)
    for row in rows:
        yield _line([_cell(row.get(name)) for name in columns])


def _line(cells: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str | float) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return json.dumps(value)
