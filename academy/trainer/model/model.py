"""The base model, its adapter, and the loss of answers."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional

from academy.recipes.recipe import Recipe
from academy.trainer.data.batches import Batch
from academy.trainer.model.lora_linear import fuse
from academy.trainer.model.rows_apart import keep_rows_apart
from academy.trainer.model.unsloth import load_with_unsloth
from academy.trainer.spec import BadSpec


class AnswerModel:
    """A causal language model with a LoRA adapter that gives the loss of each answer token.

    Only the places that predict an answer token go through the output head. With a vocabulary of
    49,000 the head is a fifth of a small model's work and most of its memory, and prompts are
    often most of a row.
    """

    def __init__(self, peft_model: Any, device: str, keeps_rows_apart: bool = False) -> None:
        self.peft_model = peft_model
        self.device = device
        #: Whether rows may lie behind each other in one line at no cost, see `rows_apart`.
        self.keeps_rows_apart = keeps_rows_apart
        self.trainable: dict[str, nn.Parameter] = {
            name: weight for name, weight in peft_model.named_parameters() if weight.requires_grad
        }
        self._predictors: torch.Tensor | None = None
        peft_model.get_output_embeddings().register_forward_pre_hook(self._select)

    def losses(self, batch: Batch) -> torch.Tensor:
        """Negative log-likelihood in nats of each answer token of the batch, shape (answers,)."""
        self._predictors = batch.predictors
        try:
            packed = {} if batch.positions is None else {"position_ids": batch.positions}
            logits = self.peft_model(input_ids=batch.inputs, use_cache=False, **packed).logits
        finally:
            self._predictors = None
        logits = logits.flatten(0, -2).float()
        return functional.cross_entropy(logits, batch.targets, reduction="none")

    def train(self) -> None:
        """Dropout and noise on."""
        self.peft_model.train()

    @contextmanager
    def evaluating(self, adapter: bool) -> Iterator[None]:
        """No dropout, no gradients; with `adapter` False the bare base model answers."""
        self.peft_model.eval()
        with torch.no_grad():
            if adapter:
                yield
            else:
                with self.peft_model.disable_adapter():
                    yield

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the adapter's weights by name, on the CPU."""
        return {name: weight.detach().to("cpu").clone() for name, weight in self.trainable.items()}

    def set_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Put saved weights into the adapter; raises `BadSpec` if they are of another shape."""
        shapes = {name: weight.shape for name, weight in weights.items()}
        if shapes != {name: weight.shape for name, weight in self.trainable.items()}:
            raise BadSpec(detail="the checkpoint's adapter has other layers than this recipe's")
        with torch.no_grad():
            for name, weight in self.trainable.items():
                weight.copy_(weights[name])

    def _select(self, _head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Hand the output head only the hidden states (answers, width) that predict an answer."""
        if self._predictors is None:
            return None
        hidden = inputs[0].flatten(0, -2).index_select(0, self._predictors)
        return (hidden, *inputs[1:])


def load_tokenizer(path: Path) -> Any:
    """The base model's own tokenizer; raises `BadSpec` if there is none that can be read."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        raise BadSpec(detail=f"{path} has no tokenizer that can be read ({error})") from error


def load_config(path: Path) -> Any:
    """The base model's configuration; raises `BadSpec` for an unknown architecture."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    except (ValueError, OSError, KeyError) as error:
        first = str(error).strip().partition("\n")[0]
        raise BadSpec(detail=f"{path / 'config.json'} is not a model's ({first})") from error
    if type(config) not in transformers.AutoModelForCausalLM._model_mapping:
        raise BadSpec(
            detail=f"the architecture {config.model_type!r} is not a causal language model that "
            f"transformers {transformers.__version__} knows"
        )
    return config


def load_model(path: Path, recipe: Recipe) -> AnswerModel:
    """The base model from `path` with a fresh adapter; `recipe` has no "auto" left.

    The adapter's first weights depend on the recipe's seed. A model that is to be sharded stays
    on the CPU. Raises `BadSpec` when the weights do not fit the configuration or the recipe names
    layers that the model does not have.
    """
    seed_everything(recipe.seed)
    peft_model = (
        load_with_unsloth(path, recipe)
        if recipe.backend == "unsloth"
        else _load_with_peft(path, recipe)
    )
    # Elsewhere a mask or padding is cheap, and the noise of NEFTune depends on a line's length.
    wants_lines = recipe.device == "cpu" and recipe.neftune_noise_alpha is None
    apart = wants_lines and keep_rows_apart(peft_model.get_base_model())
    model = AnswerModel(peft_model, recipe.device, apart)
    if recipe.neftune_noise_alpha is not None:
        embeddings = peft_model.get_base_model().get_input_embeddings()
        _add_noise(embeddings, recipe.neftune_noise_alpha)
    return model


def seed_everything(seed: int) -> None:
    """Seed every generator that a training draws from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _load_with_peft(path: Path, recipe: Recipe) -> Any:
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": getattr(torch, recipe.dtype)}
    if recipe.load_in_4bit:
        place = {"": torch.cuda.current_device()}
        options |= {"quantization_config": _four_bit(recipe), "device_map": place}
    try:
        base, found = AutoModelForCausalLM.from_pretrained(
            path,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
    except (ValueError, OSError, KeyError, SafetensorError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError(f"the model in {path} does not fit ({error})") from error
        raise BadSpec(detail=f"the model in {path} cannot be loaded ({error})") from error
    if found["missing_keys"]:
        # The library would go on with random weights in their place.
        names = ", ".join(sorted(found["missing_keys"])[:3])
        raise BadSpec(detail=f"the model in {path} lacks the weights {names}")
    if not (recipe.load_in_4bit or recipe.shard_model):
        base.to(recipe.device)
    if recipe.gradient_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    seed_everything(recipe.seed)  # reading the weights may have drawn from it
    return _with_adapter(base, recipe)


def _with_adapter(base: Any, recipe: Recipe) -> Any:
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if recipe.load_in_4bit:
        base = prepare_model_for_kbit_training(
            base, use_gradient_checkpointing=bool(recipe.gradient_checkpointing)
        )
    alpha = float(recipe.lora_alpha)
    names = recipe.target_modules
    config = LoraConfig(
        r=recipe.lora_rank,
        # A whole number where it is one: some servers read nothing else.
        lora_alpha=int(alpha) if alpha.is_integer() else alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=names if names == "all-linear" else list(names),
        use_dora=recipe.use_dora,
        use_rslora=recipe.use_rslora,
        task_type="CAUSAL_LM",
    )
    try:
        peft_model = get_peft_model(base, config)
    except ValueError as error:
        raise BadSpec(detail=f"recipe.target_modules is {names!r}: {error}") from error
    fuse(peft_model)
    return peft_model


def _four_bit(recipe: Recipe) -> Any:
    """QLoRA's storage: NF4 with doubly quantised scales (arXiv 2305.14314)."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, recipe.dtype),
    )


def _add_noise(embeddings: nn.Module, alpha: float) -> None:
    """Uniform noise of alpha / sqrt(width · depth) on embeddings (NEFTune, arXiv 2310.05914)."""

    def add(module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if not module.training:
            return output
        bound = alpha / (output.shape[-2] * output.shape[-1]) ** 0.5
        return output + torch.empty_like(output).uniform_(-bound, bound)

    embeddings.register_forward_hook(add)
