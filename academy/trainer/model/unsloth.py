"""Unsloth's kernels under our own training loop, on a CUDA GPU.

Unsloth loads the base model and puts the adapter in; rows, loss, steps, checkpoints and proof are
the same as with PEFT. Called without labels, its models hand the hidden states to the output head
as a module, so only the places that predict an answer go through it here, too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from academy.recipes.recipe import Recipe
from academy.trainer.spec import BadSpec

#: What "all-linear" means to Unsloth's kernels: every linear layer of a decoder but the head.
_ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def start_backend(recipe: Recipe) -> None:
    """Import Unsloth if the resolved recipe wants it: before transformers, which it patches."""
    if recipe.backend == "unsloth":
        # It counts its users over the network otherwise.
        os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
        import unsloth  # noqa: F401  # imported for what it does to transformers


def load_with_unsloth(path: Path, recipe: Recipe) -> Any:
    """The base model from `path` with a fresh adapter; raises `BadSpec` if it cannot be had."""
    import torch
    from unsloth import FastLanguageModel

    # Its own kind of checkpointing moves activations to the host while others are computed.
    checkpointing = "unsloth" if recipe.gradient_checkpointing else False
    try:
        base, _ = FastLanguageModel.from_pretrained(
            model_name=str(path),
            max_seq_length=recipe.max_seq_length,
            dtype=getattr(torch, recipe.dtype),
            load_in_4bit=bool(recipe.load_in_4bit),
            # Without either it would choose a number of bits by itself.
            load_in_16bit=not recipe.load_in_4bit,
            local_files_only=True,
            trust_remote_code=False,
            # It would take its own copy of a known model from the hub in place of this one.
            use_exact_model_name=True,
            fix_tokenizer=False,
            use_gradient_checkpointing=checkpointing,
            random_state=recipe.seed,
        )
        names = recipe.target_modules
        return FastLanguageModel.get_peft_model(
            base,
            r=recipe.lora_rank,
            lora_alpha=recipe.lora_alpha,
            lora_dropout=recipe.lora_dropout,
            target_modules=list(_ALL_LINEAR if names == "all-linear" else names),
            bias="none",
            use_gradient_checkpointing=checkpointing,
            use_rslora=recipe.use_rslora,
            random_state=recipe.seed,
            max_seq_length=recipe.max_seq_length,
        )
    except (ValueError, OSError, KeyError, NotImplementedError) as error:
        raise BadSpec(
            detail=f"Unsloth cannot load the model in {path} ({error}); backend 'peft' may"
        ) from error
