"""Loading the base model that a server holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from academy.basemodels import folders
from academy.basemodels.literal_text import LiteralText
from academy.runtime.errors import ModelUnloadable


@dataclass(frozen=True)
class BaseModel:
    """A loaded model with what a server must know of it."""

    folder: Path
    network: Any  # transformers' PreTrainedModel, in evaluation mode
    tokenizer: Any
    device: torch.device
    context_tokens: int
    end_tokens: frozenset[int]
    defaults: dict[str, float]  # sampling values that the model's authors recommend

    @cached_property
    def digest(self) -> str:
        """The digest of the model's files, by which an adapter names its base model."""
        return folders.digest(self.folder)

    @cached_property
    def literal(self) -> LiteralText:
        """What keeps the markers in people's texts from being the model's."""
        return LiteralText(self.tokenizer)

    @property
    def vocabulary_size(self) -> int:
        """How many tokens the model can read."""
        return int(self.network.get_input_embeddings().weight.shape[0])


def load_base(folder: Path, device: str, dtype: str) -> BaseModel:
    """Read a model folder. `device` and `dtype` may be ``auto``.

    ``auto`` is float32 on a CPU, because bfloat16 without hardware for it is a hundred times
    slower, and the dtype of the weights on a GPU. Raises `ModelUnloadable`.
    """
    place = torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    )
    wanted: Any = getattr(torch, dtype) if dtype != "auto" else "auto"
    if dtype == "auto" and place.type == "cpu":
        wanted = torch.float32
    disable_progress_bar()  # a server's log is no terminal
    try:
        network = AutoModelForCausalLM.from_pretrained(
            folder, dtype=wanted, local_files_only=True, trust_remote_code=False
        )
        tokenizer = read_tokenizer(folder)
        network.to(place).eval().requires_grad_(False)
    except (OSError, ValueError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        raise ModelUnloadable(path=str(folder), why=_first_line(error)) from error
    if not tokenizer.chat_template:
        raise ModelUnloadable(path=str(folder), why="its tokenizer has no chat template")
    config = network.config
    context = getattr(config, "max_position_embeddings", None)
    if not isinstance(context, int):
        raise ModelUnloadable(path=str(folder), why="its config has no max_position_embeddings")
    return BaseModel(
        folder=folder,
        network=network,
        tokenizer=tokenizer,
        device=place,
        context_tokens=context,
        end_tokens=_end_tokens(network, tokenizer),
        defaults=_defaults(network.generation_config),
    )


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model or adapter folder, from its files alone."""
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _end_tokens(network: Any, tokenizer: Any) -> frozenset[int]:
    named = network.generation_config.eos_token_id
    if named is None:
        named = tokenizer.eos_token_id
    if named is None:
        return frozenset()
    return frozenset(named if isinstance(named, list) else [named])


def _defaults(generation_config: Any) -> dict[str, float]:
    if not generation_config.do_sample:
        return {}
    names = ("temperature", "top_p", "top_k")
    values = {name: getattr(generation_config, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
