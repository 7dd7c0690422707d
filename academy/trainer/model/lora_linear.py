"""A frozen linear layer with its LoRA update as one operation.

PEFT computes ``W x + s · B A x`` from five operations, and each of them writes as many numbers as
the layer puts out; so does its way back. Here the update is added into the product that is there
already. The weights stay in PEFT's modules, and so do all files.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def fuse(peft_model: Any) -> None:
    """Let the layers of `peft_model` that are plain LoRA on plain linear layers compute this way.

    Others, with dropout, DoRA, quantised weights or anything else of PEFT's, are left alone.
    """
    from peft.tuners.lora.layer import Linear as LoraLinear

    for module in peft_model.modules():
        if type(module) is LoraLinear and _is_plain(module):
            module.forward = _Fused(module)


class _Fused:
    """The forward pass of one layer, in place of PEFT's."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._fallback = module.forward
        [self._name] = module.active_adapters

    def __call__(self, inputs: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        module, name = self._module, self._name
        if module.disable_adapters or module.merged or args or kwargs:
            return self._fallback(inputs, *args, **kwargs)  # type: ignore[no-any-return]
        base = module.base_layer
        return _LinearWithUpdate.apply(  # type: ignore[no-untyped-call,no-any-return]
            inputs,
            base.weight,
            base.bias,
            module.lora_A[name].weight,
            module.lora_B[name].weight,
            module.scaling[name],
        )


class _LinearWithUpdate(torch.autograd.Function):
    """``x Wᵀ + b + s · (x Aᵀ) Bᵀ`` with gradients for x, A and B only.

    x is (…, inputs), W (outputs, inputs), A (rank, inputs), B (outputs, rank). All products are in
    the type of x, as autocast would do them; the gradients of A and B are of their own types.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        rows = inputs.flatten(0, -2)
        inner = rows @ down.to(rows.dtype).t()
        out = rows @ weight.t() if bias is None else torch.addmm(bias, rows, weight.t())
        out.addmm_(inner, up.to(rows.dtype).t(), alpha=scale)
        ctx.save_for_backward(inputs, weight, down, up, inner)
        ctx.scale = scale
        return out.view(*inputs.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, weight, down, up, inner = ctx.saved_tensors
        gradient = gradients[0].flatten(0, -2)
        rows = inputs.flatten(0, -2)
        of_inner = (gradient @ up.to(rows.dtype)).mul_(ctx.scale)
        of_up = (gradient.t() @ inner).mul_(ctx.scale).to(up.dtype)
        of_down = (of_inner.t() @ rows).to(down.dtype)
        of_inputs = None
        if ctx.needs_input_grad[0]:
            of_inputs = (gradient @ weight).addmm_(of_inner, down.to(rows.dtype))
            of_inputs = of_inputs.view_as(inputs)
        return of_inputs, None, None, of_down, of_up, None


def _is_plain(module: Any) -> bool:
    """Whether the layer computes ``base(x) + s · B(A(x))`` and nothing else."""
    names = module.active_adapters
    return (
        type(module.base_layer) is nn.Linear
        and len(names) == 1
        and not module.lora_variant
        and not module.lora_bias[names[0]]
        and isinstance(module.lora_dropout[names[0]], nn.Identity)
        and not module.base_layer.weight.requires_grad
    )
