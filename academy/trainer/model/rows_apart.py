"""Attention for rows that lie behind each other in one line: each row sees itself only.

transformers keeps packed rows apart with a mask, and then computes every row against every other
one. Here each row is a call of its own, so a packed line costs what its rows cost, and no padding
is computed anywhere else in the model.
"""

from __future__ import annotations

from typing import Any

import torch

_NAME = "academy_rows_apart"


def keep_rows_apart(base: Any) -> bool:
    """Give the model `base` this attention; False, and nothing changed, where it would not do.

    It does for models whose layers all look back to the beginning of the row, with torch's own
    attention. Where a layer looks back a stretch only, the mask is needed that says how far.
    """
    config = base.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    looks_back_a_stretch = kinds != {"full_attention"} or (
        getattr(config, "sliding_window", None) is not None
        and getattr(config, "use_sliding_window", True)
    )
    if config._attn_implementation != "sdpa" or looks_back_a_stretch:
        return False
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    base.set_attn_implementation(_NAME)
    return True


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of `query` (lines, heads, length, width) to `key` and `value` of the same rows.

    Returns (lines, length, heads, width), as transformers wants it. A row begins where the
    positions are zero. A model that makes a mask all the same has said by it what may be seen.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    lengths = _lengths(options.get("position_ids"))
    if len(lengths) < 2 or attention_mask is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]
    rows = zip(*(torch.split(each, lengths, dim=2) for each in (query, key, value)), strict=True)
    parts = [sdpa_attention_forward(module, *row, None, **options)[0] for row in rows]
    return torch.cat(parts, dim=1), None


def _lengths(positions: torch.Tensor | None) -> list[int]:
    """The lengths of the rows of a packed line (1, length); empty for lines of one row each."""
    if positions is None or len(positions) != 1:
        return []
    starts = torch.nonzero(positions[0] == 0).flatten()
    ends = torch.cat((starts[1:], starts.new_tensor([positions.shape[1]])))
    return (ends - starts).tolist()
