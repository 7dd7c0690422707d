"""Many LoRA adapters on one network, chosen row by row. For the model's thread alone."""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModelForCausalLM, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer

from academy.runtime.adapter_files import AdapterFiles
from academy.runtime.base_model import BaseModel
from academy.runtime.errors import AdapterUnfit

#: PEFT's name for "no adapter" in a list of adapter names.
BASE = "__base__"


class Adapters:
    """Installs adapters into the network and tells its layers which one each row uses.

    PEFT reads `adapter_names`, one name for each row, from a forward hook on each LoRA layer. Its
    own context manager sets and removes these hooks on every forward pass, which costs time on each
    token and leaves them behind when a pass raises (peft/tuners/lora/model.py has no finally): the
    next batch would then silently run with the names of the failed one. So each layer gets one
    hook for good, and it reads the names from here. `set_adapter` is never used to serve.
    """

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._model: Any = None
        self._hooked: set[Any] = set()
        self._rows: list[str] = []

    def use(self, keys: list[str]) -> None:
        """Each row of the next forward passes uses the adapter of that key, or `BASE`."""
        self._rows = keys

    def install(self, key: str, files: AdapterFiles) -> None:
        """Put an adapter into the network and prove that it computes; or leave no trace of it."""
        files.config.inference_mode = True
        try:
            if self._model is None:
                self._model = PeftModelForCausalLM(
                    self._base.network, files.config, key, low_cpu_mem_usage=True
                )
            else:
                self._model.add_adapter(key, files.config, low_cpu_mem_usage=True)
            loaded = set_peft_model_state_dict(
                self._model, files.weights, key, low_cpu_mem_usage=True
            )
            missing = [name for name in loaded.missing_keys if f".{key}." in name]
            if missing or loaded.unexpected_keys:
                names = sorted([*missing, *loaded.unexpected_keys])
                raise self._unfit(files, f"its weights and its config disagree about {names[0]!r}")
            self._settle(key)
            self._probe(key, files)
        except BaseException:
            self.remove(key)
            raise

    def remove(self, key: str) -> None:
        """Take an adapter out of the network, also one that was installed by half."""
        if self._model is not None and key in self._model.peft_config:
            self._model.base_model.set_adapter([])
            self._model.delete_adapter(key)

    def _settle(self, key: str) -> None:
        """New layers get their hook, their place and no active adapter."""
        # With no adapter active, a pass that somehow missed its hook would answer as the base.
        self._model.base_model.set_adapter([])
        self._model.eval().requires_grad_(False)
        self._model.to(self._base.device)
        for module in self._base.network.modules():
            if isinstance(module, LoraLayer) and module not in self._hooked:
                module.register_forward_pre_hook(self._name_rows, with_kwargs=True)
                self._hooked.add(module)

    def _name_rows(
        self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, "adapter_names": self._rows}

    @torch.inference_mode()
    def _probe(self, key: str, files: AdapterFiles) -> None:
        """One token through the network with this adapter."""
        self.use([key])
        token = torch.zeros((1, 1), dtype=torch.long, device=self._base.device)
        logits = self._base.network(token, use_cache=False).logits
        if not torch.isfinite(logits).all():
            raise self._unfit(files, "a token sent through it gives values that are not finite")

    def _unfit(self, files: AdapterFiles, why: str) -> AdapterUnfit:
        return AdapterUnfit(path=str(files.folder), base=self._base.folder.name, why=why)
