"""Splitting the base model over the processes, for models that do not fit into one GPU."""

from __future__ import annotations

from typing import Any

from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def shard(peft_model: Any, device: str) -> None:
    """Leave each process its part of every frozen weight (FSDP2, ``fully_shard``).

    A layer's parts are brought together when it computes and let go of after. The adapter's
    weights are left whole in each process, as they are small: so gradients, the optimizer and
    checkpoints are the same as without sharding. From here on all processes have to run the model
    the same number of times.
    """
    mesh = init_device_mesh(device, (distributed.get_world_size(),))
    whole = {weight for weight in peft_model.parameters() if weight.requires_grad}
    base = peft_model.get_base_model()
    layers = max(
        (each for each in base.modules() if isinstance(each, nn.ModuleList)),
        key=len,
        default=nn.ModuleList(),
    )
    for layer in layers:
        fully_shard(layer, mesh=mesh, ignored_params=whole & set(layer.parameters()))
    fully_shard(base, mesh=mesh, ignored_params=whole)
    # Moves what is not sharded; the layers have gone to the device one by one.
    for weight in whole:
        weight.data = weight.data.to(device)
