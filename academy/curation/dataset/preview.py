"""Rows as the base model will see them: the chat template applied, and what of it is learnt.

The masks come from the trainer's own encoder, so what is shown is what is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from academy.basemodels.tokenizer import ChatTokenizer, NoChatTokenizer

#: So long that no row is cut.
_NO_LIMIT = 1 << 40


def previews(
    rows: Sequence[dict[str, Any]], folder: Path, max_length: int | None
) -> list[dict[str, Any]]:
    """For each canonical row its preview by the base model in `folder`, whose rows may have at
    most `max_length` tokens.

    A preview has ``tokens`` and ``learnt_tokens``, whether the prompt was ``cut``, and ``segments``
    of ``text``, ``tokens`` and ``learnt``; a pair has ``chosen`` and ``rejected``, each such a
    preview. What the trainer would leave out has ``left_out`` with the reason instead.
    Raises `NoChatTokenizer`.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise NoChatTokenizer(name=folder.name, why="it has no tokenizer.json")
    tokenizer, encoder = _encoder(folder, file.stat().st_mtime_ns, max_length or _NO_LIMIT)
    return [_preview(row, encoder, tokenizer) for row in rows]


@lru_cache(maxsize=4)
def _encoder(folder: Path, _changed_ns: int, max_length: int) -> tuple[ChatTokenizer, Any]:
    """A model's tokenizer and encoder, which may have to copy the tokenizer once, for seconds."""
    from academy.trainer.data.encoding import ChatEncoder  # numpy, which only this needs here

    tokenizer = ChatTokenizer(folder)
    return tokenizer, ChatEncoder(tokenizer, max_length)


def _preview(row: dict[str, Any], encoder: Any, tokenizer: ChatTokenizer) -> dict[str, Any]:
    from academy.trainer.data.rows import PreferenceRow, Row

    messages, tools = tuple(row.get("messages") or ()), tuple(row.get("tools") or ())
    if not messages:
        return {"left_out": "it has no messages"}
    if "chosen" not in row:
        return _shown(encoder.encode(Row(row["id"], messages, tools)), tokenizer)
    pair = encoder.encode_pair(
        PreferenceRow(row["id"], messages, row["chosen"], row["rejected"], tools)
    )
    if isinstance(pair, str):
        return {"left_out": pair}
    return {side: _shown(getattr(pair, side), tokenizer) for side in ("chosen", "rejected")}


def _shown(encoded: Any, tokenizer: ChatTokenizer) -> dict[str, Any]:
    if isinstance(encoded, str):
        return {"left_out": encoded}
    tokens, learnt = encoded.tokens.tolist(), encoded.learnt.tolist()
    ends = [at for at in range(1, len(tokens)) if learnt[at] != learnt[at - 1]]
    segments = [
        {
            "text": tokenizer.decode(tokens[start:end]),
            "tokens": end - start,
            "learnt": learnt[start],
        }
        for start, end in zip([0, *ends], [*ends, len(tokens)], strict=True)
    ]
    return {
        "tokens": len(tokens),
        "learnt_tokens": sum(learnt),
        "cut": encoded.cut,
        "segments": segments,
    }
