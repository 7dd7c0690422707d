"""The SFTTrainer script of TRL's documentation, timed: what Academy's trainer is compared with."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Trained:
    """What one training did. Tokens are without padding, seconds those in optimizer steps."""

    model: Any
    tokenizer: Any
    tokens: int
    seconds: float
    peak_memory_bytes: int

    @property
    def numbers(self) -> dict[str, Any]:
        """The figures that both sides of a benchmark report."""
        return {
            "tokens_per_second": self.tokens / self.seconds,
            "tokens": self.tokens,
            "peak_memory_bytes": self.peak_memory_bytes,
        }


def train_with_trl(
    folder: Path, model_path: Path, recipe: dict[str, Any], **options: Any
) -> Trained:
    """Train on ``train.jsonl`` of `folder` by Academy's `recipe`, in bfloat16 on a GPU.

    `options` are further ones of TRL's ``SFTConfig``.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from academy.trainer.hardware import memory_bytes

    on_gpu = torch.cuda.is_available()

    class Clock(TrainerCallback):  # type: ignore[misc]
        """Time from the beginning to the end of each optimizer step."""

        seconds = 0.0
        started = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.monotonic()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if on_gpu:
                torch.cuda.synchronize()
            self.seconds += time.monotonic() - self.started

    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    examples = [
        {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in rows
    ]
    clock = Clock()
    dtype = torch.bfloat16 if on_gpu else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    with tempfile.TemporaryDirectory() as out:
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype),
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(examples),
            peft_config=LoraConfig(
                r=recipe["lora_rank"],
                lora_alpha=2 * recipe["lora_rank"],
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            ),
            args=SFTConfig(
                output_dir=out,
                num_train_epochs=recipe["num_epochs"],
                per_device_train_batch_size=recipe["batch_size"],
                learning_rate=recipe["learning_rate"],
                max_length=recipe["max_seq_length"],
                completion_only_loss=True,
                use_cpu=not on_gpu,
                bf16=on_gpu,
                seed=recipe["seed"],
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                **options,
            ),
            callbacks=[clock],
        )
        trainer.train()
        tokens = sum(len(each["input_ids"]) for each in trainer.train_dataset)
    peak = memory_bytes("cuda" if on_gpu else "cpu")
    return Trained(trainer.model, tokenizer, tokens, clock.seconds, peak)
