"""Writing a dataset's files. No file holds a time or a path, so equal data has equal bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from academy import __version__
from academy.curation.dataset.card import write_card
from academy.curation.dataset.formats import in_format
from academy.curation.dataset.statistics import Collected, CountTokens, Lengths, summarise
from academy.curation.drops import Drops
from academy.curation.professor import assess
from academy.curation.progress import Ticker
from academy.curation.request import CurationRequest
from academy.curation.sources import Row

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def write_dataset(
    folder: Path,
    rows: Iterable[tuple[Row, str]],
    *,
    request: CurationRequest,
    repositories: Sequence[str],
    collected: Collected,
    drops: Drops,
    count_tokens: CountTokens | None,
    ticker: Ticker,
) -> dict[str, Any]:
    """Write every file but the manifest into `folder`; returns the statistics.

    `rows` come with their side, ``train`` or ``heldout``. ``train.jsonl`` and ``heldout.jsonl``
    hold canonical rows, ``dataset.jsonl`` the training rows in the requested format, all in order
    of time.
    """
    lengths = Lengths(count_tokens)
    with (
        (folder / "train.jsonl").open("wb") as train,
        (folder / "heldout.jsonl").open("wb") as held,
        (folder / "dataset.jsonl").open("wb") as formatted,
    ):
        for row, side in rows:
            canonical = canonical_row(row)
            (held if side == "heldout" else train).write(_line(canonical))
            if side == "train":
                formatted.write(_line(in_format(canonical, request.format)))
            lengths.add(row, side)
    ticker.check()
    settings = {
        **request.model_dump(mode="json"),
        # Names, because the paths of this host are nobody's business who gets the dataset.
        "repositories": list(repositories),
    }
    # Equal rows make an equal dataset, whichever file they came in.
    del settings["uploads"]
    statistics = summarise(collected, drops, lengths)
    statistics["professor"] = assess(statistics)
    statistics["advice"] = statistics["professor"]["sentences"]
    statistics["request"] = settings
    statistics["tools"] = tool_versions(with_git=bool(repositories))
    with (folder / "drops.jsonl").open("wb") as stream:
        for drop in drops.samples():
            stream.write(
                _line(
                    {
                        "id": drop.id,
                        "source": drop.source,
                        "filter": drop.filter,
                        "matched": drop.matched,
                        "text": drop.text,
                    }
                )
            )
    body = json.dumps(statistics, ensure_ascii=False, indent=1)
    (folder / "statistics.json").write_text(body + "\n", encoding="utf-8")
    (folder / "README.md").write_text(write_card(statistics, settings), encoding="utf-8")
    return statistics


def canonical_row(row: Row) -> dict[str, Any]:
    """The row as ``train.jsonl`` and ``heldout.jsonl`` hold it.

    The messages of a preference pair are its prompt, with the two answers beside them. ``tools``
    are there where the conversation has any.
    """
    said: dict[str, Any] = {"messages": list(row.messages)}
    if row.rejected is not None:
        said = {"messages": list(row.messages[:-1]), "chosen": row.answer, "rejected": row.rejected}
    if row.tools:
        said["tools"] = list(row.tools)
    return {
        "id": row.id,
        **said,
        "source": row.source,
        "group": row.group,
        "provenance": {**row.provenance, "touched": list(row.touched)},
    }


def tool_versions(*, with_git: bool) -> dict[str, str]:
    """The versions of everything that has a say in the bytes of a dataset."""
    versions = {"academy": __version__}
    for package in ("rensa", "google-re2"):
        versions[package] = version(package)
    if with_git:
        from academy.curation.git.shadow import git_version

        versions["git"] = ".".join(map(str, git_version()))
    return versions


def _line(value: dict[str, Any]) -> bytes:
    return _ENCODER.encode(value).encode("utf-8") + b"\n"
