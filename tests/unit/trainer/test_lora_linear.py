"""The fused layer computes what PEFT's own does, forward and back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from academy.trainer.model.lora_linear import fuse

#: Sums in another order; in bfloat16 the inner product is rounded, too, as autocast rounds it.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 3e-2}


class TwoLayers(nn.Module):
    """A layer with a bias whose input needs no gradient, and one without whose input does."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(24, 40)
        self.second = nn.Linear(40, 12, bias=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.second(torch.tanh(self.first(inputs)))
        return outputs


def with_adapter(dtype: torch.dtype = torch.float32, **options: Any) -> nn.Module:
    from peft import LoraConfig, get_peft_model  # seconds: not while tests are collected

    torch.manual_seed(3)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["first", "second"], **options)
    model: nn.Module = get_peft_model(TwoLayers().to(dtype), config)
    with torch.no_grad():  # a fresh adapter changes nothing, which would prove little
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.2)
    return model


def run(model: nn.Module, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    outputs = model(inputs)
    outputs.float().pow(2).sum().backward()
    found = {name: w.grad for name, w in model.named_parameters() if w.grad is not None}
    return {"outputs": outputs.detach(), **found}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_outputs_and_gradients_are_those_of_peft(dtype: torch.dtype) -> None:
    inputs = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1)).to(dtype)
    plain, fused = with_adapter(dtype), with_adapter(dtype)
    fuse(fused)
    expected, found = run(plain, inputs), run(fused, inputs)
    assert found.keys() == expected.keys() and len(expected) == 5
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        scale = float(tensor.abs().max())
        torch.testing.assert_close(
            found[name], tensor, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale
        )


def test_the_adapter_off_is_the_bare_layer() -> None:
    model = with_adapter()
    inputs = torch.randn(3, 24)
    with model.disable_adapter():  # type: ignore[operator]
        expected = model(inputs)
        fuse(model)
        assert torch.equal(model(inputs), expected)
    assert not torch.equal(model(inputs), expected)


@pytest.mark.parametrize("options", [{"lora_dropout": 0.5}, {"use_dora": True}])
def test_what_is_more_than_plain_lora_is_left_to_peft(options: dict[str, Any]) -> None:
    model = with_adapter(**options)
    fuse(model)
    assert not [name for name, module in model.named_modules() if "forward" in vars(module)]


def test_files_and_names_of_weights_stay_pefts() -> None:
    plain, fused = with_adapter(), with_adapter()
    fuse(fused)
    assert list(fused.state_dict()) == list(plain.state_dict())
