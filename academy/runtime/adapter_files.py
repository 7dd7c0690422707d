"""Reading an adapter's folder and proving that it fits, before the model is touched."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file

from academy.artifacts.manifest import verify_manifest
from academy.basemodels.literal_text import LiteralText
from academy.runtime.base_model import BaseModel, read_tokenizer
from academy.runtime.errors import AdapterUnfit

_WEIGHT = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight$")
#: Options of a LoRA with which one batch cannot mix adapters, or that change more than the layers.
_UNSUPPORTED = (
    "use_dora",
    "modules_to_save",
    "trainable_token_indices",
    "layer_replication",
    "target_parameters",
    "alora_invocation_tokens",
    "use_qalora",
    "lora_bias",
)


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter that was read, verified and found to fit; still outside of the model."""

    folder: Path
    digest: str
    config: Any  # peft's LoraConfig
    weights: dict[str, torch.Tensor]
    tokenizer: Any | None  # None: the base model's, which writes the same prompts

    @cached_property
    def literal(self) -> LiteralText:
        """As `BaseModel.literal`, for an adapter that has a tokenizer of its own."""
        return LiteralText(self.tokenizer)


def read_adapter(folder: Path, digest: str | None, base: BaseModel) -> AdapterFiles:
    """Read and check the adapter in `folder`.

    Raises `DigestMismatch` or `ManifestMissing` when the files are not what was recorded, and
    `AdapterUnfit` when they do not fit `base`. Nothing is loaded into the model.
    """
    actual = verify_manifest(folder, digest)
    try:
        config = LoraConfig.from_pretrained(str(folder))
        weights = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, TypeError, KeyError, RecursionError, SafetensorError) as error:
        raise _unfit(folder, base, f"it cannot be read ({error})") from error
    _check_origin(folder, base)
    _check_options(folder, config, base)
    _check_shapes(folder, config, weights, base)
    return AdapterFiles(folder, actual, config, weights, _own_tokenizer(folder, base))


def _check_origin(folder: Path, base: BaseModel) -> None:
    """An adapter of Academy's trainer names its base model's digest; others need not."""
    try:
        origin = json.loads((folder / "academy.json").read_text())["base_model"]
        name, digest = origin["name"], origin["digest"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _unfit(folder, base, f"its academy.json cannot be read ({error!r})") from error
    if digest != base.digest:
        why = f"it was trained on {name!r} with the digest {digest}, and this is {base.digest}"
        raise _unfit(folder, base, why)


def _check_options(folder: Path, config: Any, base: BaseModel) -> None:
    kind = getattr(config.peft_type, "value", config.peft_type)
    if kind != "LORA":
        raise _unfit(folder, base, f"its type is {kind}, and only LORA is served")
    used = [name for name in _UNSUPPORTED if getattr(config, name, None)]
    if config.bias != "none":
        used.append(f"bias={config.bias!r}")
    if used:
        raise _unfit(folder, base, f"it uses {', '.join(used)}, which cannot be served in a batch")


def _check_shapes(
    folder: Path, config: Any, weights: dict[str, torch.Tensor], base: BaseModel
) -> None:
    shapes = _linear_shapes(base.network)
    halves: dict[str, dict[str, torch.Size]] = {}
    for name, tensor in weights.items():
        match = _WEIGHT.match(name)
        if match is None:
            raise _unfit(folder, base, f"{name!r} is not the weight of a LoRA layer")
        if not torch.isfinite(tensor).all():
            raise _unfit(folder, base, f"{name!r} holds values that are not finite")
        halves.setdefault(match["module"], {})[match["half"]] = tensor.shape
    if not halves:
        raise _unfit(folder, base, "it holds no weights")
    for module, pair in halves.items():
        if module not in shapes:
            raise _unfit(folder, base, f"the model has no linear layer {module!r}")
        outputs, inputs = shapes[module]
        a, b = pair.get("A"), pair.get("B")
        if a is None or b is None or len(a) != 2 or a[1] != inputs or b != (outputs, a[0]):
            raise _unfit(
                folder,
                base,
                f"{module!r} has A {_shape(a)} and B {_shape(b)} for a layer of "
                f"{inputs} inputs and {outputs} outputs",
            )


def _linear_shapes(network: Any) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of each linear layer, by its name in the model without adapters."""
    shapes = {}
    for name, module in network.named_modules():
        if name.endswith(".base_layer"):  # PEFT has wrapped this layer for an earlier adapter
            name = name.removesuffix(".base_layer")
        elif hasattr(module, "base_layer") or ".lora_" in name:
            continue
        if isinstance(module, torch.nn.Linear):
            shapes[name] = (module.out_features, module.in_features)
    return shapes


def _own_tokenizer(folder: Path, base: BaseModel) -> Any | None:
    """The adapter's tokenizer, if it writes other prompts than the base model's."""
    if not (folder / "tokenizer_config.json").exists():
        return None
    try:
        tokenizer = read_tokenizer(folder)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise _unfit(folder, base, f"its tokenizer cannot be read ({error})") from error
    ours = base.tokenizer
    if not tokenizer.chat_template:
        return None
    if tokenizer.chat_template == ours.chat_template and tokenizer.get_vocab() == ours.get_vocab():
        return None
    largest = max(tokenizer.get_vocab().values())
    if largest >= base.vocabulary_size:
        why = f"its tokenizer has a token {largest}, and the model {base.vocabulary_size} tokens"
        raise _unfit(folder, base, why)
    return tokenizer


def _shape(size: torch.Size | None) -> str:
    return "nothing" if size is None else "x".join(map(str, size))


def _unfit(folder: Path, base: BaseModel, why: str) -> AdapterUnfit:
    return AdapterUnfit(path=str(folder), base=base.folder.name, why=why)
