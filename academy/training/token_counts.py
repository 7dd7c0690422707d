"""Counting a training's tokens before it is queued.

The rows are counted by a process of its own, as a tokenizer over many rows would hold the API up
for seconds. The counts are remembered by what they depend on.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from academy.basemodels import folders
from academy.basemodels.folders import ModelFolder
from academy.errors import AcademyError, Unavailable
from academy.host.processes import end_group, spawn
from academy.recipes.recipe import Recipe
from academy.settings import Settings

log = logging.getLogger(__name__)

#: Counting a million rows takes about as long.
_TIMEOUT_SECONDS = 120.0
#: How long a request waits for the one that is being counted.
_PATIENCE_SECONDS = 60.0
_counting = threading.BoundedSemaphore(1)
#: Which adapter it starts from and who trains together changes no token.
_NO_MATTER = {"init_adapter": None, "hosts": 1, "shard_model": False}
_MASKED = "no answer token is left to learn"


class PreflightRefused(AcademyError):
    """{message}"""

    status = 422

    def __init__(self, *, code: str, message: str, next_step: str) -> None:
        super().__init__(message=message)
        self.fields = {"code": code, "message": message, "next_step": next_step}
        self.code, self.next_step = code, next_step  # type: ignore[misc]  # the trainer's own


@dataclass(frozen=True)
class TokenCounts:
    """The usable rows of a dataset for a base model: `lengths` and `answers` in tokens, by row."""

    lengths: list[int]
    answers: list[int]
    tokens: int
    cut: int
    unlearnt: int
    dropped: dict[str, int]
    cpu_rate: float

    def as_shown(self) -> dict[str, Any]:
        """What a client sees of the rows: histogram, shares and what is left out."""
        usable = sorted(self.lengths)
        answers = sum(self.answers)
        return {
            "rows": len(usable) + sum(self.dropped.values()),
            "usable_rows": len(usable),
            "truncated_rows": self.cut,
            "unlearnt_answers": self.unlearnt,
            "fully_masked_rows": self.dropped.get(_MASKED, 0),
            "left_out": [{"reason": each, "rows": n} for each, n in self.dropped.items()],
            "tokens": self.tokens,
            "supervised_tokens": answers,
            "supervised_share": round(answers / self.tokens, 4) if self.tokens else 0.0,
            "row_tokens": _quantiles(usable),
            "histogram": _histogram(usable),
        }


def count_tokens(
    settings: Settings, folder: Path, digest: str, model: ModelFolder, recipe: Recipe
) -> TokenCounts:
    """Count the training rows in `folder` as `model` will see them, or remember the counts.

    Raises `PreflightRefused` with the trainer's own words, or `Unavailable` when it takes too long.
    """
    about = [digest, folders.digest(model.path), recipe.max_seq_length, recipe.method]
    name = sha256(json.dumps(about).encode()).hexdigest()
    cache = settings.home / "cache" / "preflight" / f"{name}.json"
    known = _remembered(cache)
    if known is not None:
        return known
    if not _counting.acquire(timeout=_PATIENCE_SECONDS):
        raise Unavailable(what="The preflight", why="another one is under way")
    try:
        counts = _remembered(cache) or _count(folder, digest, model, recipe)
    finally:
        _counting.release()
    _remember(cache, counts)
    return counts


def _count(folder: Path, digest: str, model: ModelFolder, recipe: Recipe) -> TokenCounts:
    spec = {
        "schema_version": 1,
        "job_id": "preflight",
        "attempt": 1,
        "base_model": {"name": model.name, "path": str(model.path)},
        "dataset": {"path": str(folder), "digest": digest},
        "recipe": recipe.model_copy(update=_NO_MATTER).model_dump(mode="json"),
    }
    with tempfile.TemporaryDirectory(prefix="academy-preflight-") as place:
        path = Path(place) / "spec.json"
        path.write_text(json.dumps(spec))
        answer = _run([sys.executable, "-m", "academy.trainer.token_count", str(path)])
    if "error" in answer:
        raise PreflightRefused(**answer["error"])
    return TokenCounts(**answer)


def _run(command: Sequence[str]) -> dict[str, Any]:
    process = spawn(
        command,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, noise = process.communicate(timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        why = f"counting the tokens took longer than {_TIMEOUT_SECONDS:.0f} s"
        raise Unavailable(what="The preflight", why=why) from None
    finally:
        end_group(process, grace_seconds=0.0)
    try:
        answer = json.loads(out)
        assert isinstance(answer, dict)
    except (ValueError, AssertionError) as error:
        log.error("counting tokens failed: %s", noise.decode("utf-8", "replace")[-2000:])
        status = process.returncode
        raise Unavailable(what="The preflight", why=f"it ended with status {status}") from error
    return answer


def _remembered(cache: Path) -> TokenCounts | None:
    try:
        return TokenCounts(**json.loads(cache.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # nothing there yet, or damaged: it is counted again


def _remember(cache: Path, counts: TokenCounts) -> None:
    scratch = cache.with_name(f".{cache.name}.{os.getpid()}.{threading.get_ident()}")
    # A full disk costs the next preflight some seconds, and this one nothing.
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(asdict(counts)))
        scratch.replace(cache)


def _quantiles(usable: Sequence[int]) -> dict[str, float]:
    if not usable:
        return {}
    places = {"half": 0.5, "most": 0.9, "nearly_all": 0.99, "longest": 1.0}
    last = len(usable) - 1
    found: dict[str, float] = {name: usable[round(last * at)] for name, at in places.items()}
    return {"mean": round(statistics.fmean(usable), 1), **found}


def _histogram(usable: Sequence[int]) -> list[dict[str, int]]:
    return list(_bins(usable))


def _bins(usable: Sequence[int]) -> Iterator[dict[str, int]]:
    """Bins whose width doubles, from the one of the shortest row to that of the longest."""
    if not usable:
        return
    low = 1
    while low <= usable[-1]:
        rows = sum(low <= length < 2 * low for length in usable)
        if rows or low > usable[0]:
            yield {"from": low, "to": 2 * low - 1, "rows": rows}
        low *= 2
