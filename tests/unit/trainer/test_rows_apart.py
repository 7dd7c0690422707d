"""Rows that lie in one line see themselves only, and nothing between them is computed."""

from __future__ import annotations

import pytest
import torch
import transformers

from academy.trainer.model.rows_apart import keep_rows_apart

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
}
LENGTHS = (9, 4, 1, 6)


@pytest.fixture()
def llama() -> transformers.LlamaForCausalLM:
    torch.manual_seed(1)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE))


@pytest.fixture()
def rows() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randint(0, 64, (1, length), generator=generator) for length in LENGTHS]


def in_a_line(model: torch.nn.Module, rows: list[torch.Tensor]) -> torch.Tensor:
    positions = torch.cat([torch.arange(row.shape[1]) for row in rows])[None]
    logits: torch.Tensor = model(torch.cat(rows, dim=1), position_ids=positions).logits[0]
    return logits


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_line_of_rows_gives_what_the_rows_give_alone(
    llama: transformers.LlamaForCausalLM, rows: list[torch.Tensor], checkpointing: bool
) -> None:
    weight = llama.model.layers[0].self_attn.k_proj.weight
    expected = torch.cat([llama(row).logits[0] for row in rows])
    expected.pow(2).sum().backward()  # type: ignore[no-untyped-call]
    gradient, weight.grad = weight.grad, None
    assert keep_rows_apart(llama)
    if checkpointing:
        llama.gradient_checkpointing_enable({"use_reentrant": False})
        llama.train()
    found = in_a_line(llama, rows)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found.pow(2).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(weight.grad, gradient, rtol=1e-4, atol=1e-5)


def test_no_row_is_compared_with_another(
    llama: transformers.LlamaForCausalLM, rows: list[torch.Tensor]
) -> None:
    assert keep_rows_apart(llama)
    with torch.profiler.profile(record_shapes=True) as profile:
        in_a_line(llama, rows)
    seen = [
        event.input_shapes[0][2]
        for event in profile.events()
        if event.name == "aten::scaled_dot_product_attention"
    ]
    assert seen == [*LENGTHS, *LENGTHS]


def test_a_model_that_looks_back_a_stretch_keeps_its_mask() -> None:
    mistral = transformers.MistralForCausalLM(transformers.MistralConfig(**SHAPE, sliding_window=4))
    assert not keep_rows_apart(mistral)
    assert mistral.config._attn_implementation == "sdpa"
    assert keep_rows_apart(
        transformers.MistralForCausalLM(transformers.MistralConfig(**SHAPE, sliding_window=None))
    )
