"""Training speed on a GPU: Academy's trainer with Unsloth and with PEFT beside plain TRL.

    python benchmarks/training_gpu.py [--rows 256] [--rounds 3]
    python benchmarks/training_gpu.py --smoke  # tiny shapes, on any machine, to try the script

The model has the shape of a Llama of 1.2 billion weights, filled with random numbers: speed and
memory do not depend on what a model knows. All sides train the same rows with the same recipe in
bfloat16, each in a process of its own, in turns. TRL is the script of its documentation. Speed
counts tokens without padding over the time in optimizer steps. The share is 4 x parameters x
tokens/s over the rate of bfloat16 matrix products that the same process measures: a LoRA token
costs two products forward and two backward for each weight; what gradient checkpointing computes
twice is not counted.

Without a CUDA GPU it prints why it cannot run and leaves the last results alone. Results go to
benchmarks/results/training_gpu.json.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training_sides.our_trainer import train_with_academy
from training_sides.plain_trl import train_with_trl
from training_sides.rows import write_rows
from training_sides.turns import in_turns

from academy.trainer.tiny import make_tiny_model

RESULTS = Path(__file__).parent / "results" / "training_gpu.json"
RECIPE: dict[str, Any] = {
    "num_epochs": 1,
    "learning_rate": 2e-4,
    "batch_size": 8,
    "lora_rank": 16,
    "max_seq_length": 2048,
    "load_in_4bit": False,
    "seed": 1,
}
LLAMA_1B = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
}
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 384,
}
SIDE_SECONDS = 1800


def main() -> None:
    """Run all sides in turns and print the table, or print why that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="tiny shapes on any machine")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.folder)))
        return
    why = missing()
    if why and not options.smoke:
        print(f"This benchmark cannot run here: {why}.")
        return
    if options.smoke:
        options.rows, options.rounds = 8, 1
    sides = [side for side in SIDES if side != "academy, unsloth" or not missing_unsloth()]
    if missing_unsloth():
        print(f"Without the side 'academy, unsloth': {missing_unsloth()}.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, options.rows)
        parameters = make_model(folder / "model", TINY if options.smoke else LLAMA_1B)
        rounds = options.rounds
        taken = in_turns(__file__, sides, folder, rounds=rounds, seconds=SIDE_SECONDS)
    report(taken, options, parameters)


def missing() -> str | None:
    """Why no side can run here; None if they can."""
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    if not torch.cuda.is_available():
        return "torch sees no CUDA GPU"
    if not torch.cuda.is_bf16_supported():
        return f"{torch.cuda.get_device_name()} does not multiply bfloat16 matrices"
    return None


def missing_unsloth() -> str | None:
    """Why Unsloth's side cannot run here; None if it can."""
    if why := missing():
        return why
    return None if importlib.util.find_spec("unsloth") else "unsloth is not installed"


def make_model(folder: Path, shape: dict[str, int]) -> int:
    """Write a random Llama with a tokenizer and a chat template; its number of weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    make_tiny_model(folder, positions=4096)
    config = LlamaConfig(
        **shape,
        max_position_embeddings=4096,
        rope_theta=500_000.0,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    return int(model.num_parameters())


def measure(side: str, folder: Path) -> dict[str, Any]:
    """Train, and measure matrix products after it, when the GPU is as warm as it was then."""
    numbers = SIDES[side](folder)
    return numbers | {"matrix_tflops": matrix_products()}


def academy(folder: Path, backend: str) -> dict[str, Any]:
    """Academy's trainer with one of its backends."""
    recipe = RECIPE | {"backend": backend}
    summary = train_with_academy(folder, folder / "model", recipe, SIDE_SECONDS)
    names = ("tokens_per_second", "tokens", "peak_memory_bytes")
    return {name: summary[name] for name in names}


def trl(folder: Path) -> dict[str, Any]:
    """TRL's trainer with its own defaults."""
    return train_with_trl(folder, folder / "model", RECIPE).numbers


def matrix_products() -> float:
    """Rate of large bfloat16 products (float32 on a CPU) in TFLOP/s: the median of 50."""
    import torch

    on_gpu = torch.cuda.is_available()
    size = 8192 if on_gpu else 512
    device, dtype = ("cuda", torch.bfloat16) if on_gpu else ("cpu", torch.float32)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(50):
        if on_gpu:
            torch.cuda.synchronize()
        started = time.perf_counter()
        left @ right
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(times) / 1e12


def report(sides: dict[str, dict[str, Any]], options: argparse.Namespace, parameters: int) -> None:
    """Print the table and write the JSON."""
    import torch

    for numbers in sides.values():
        flops = 4 * parameters * numbers["tokens_per_second"]
        numbers["model_tflops"] = flops / 1e12
        numbers["share"] = flops / (numbers["matrix_tflops"] * 1e12)
    print(f"{'':20}tokens/s  peak memory  model TFLOP/s  matrix TFLOP/s   share")
    for side, numbers in sides.items():
        print(
            f"{side:20}{numbers['tokens_per_second']:8.0f}"
            f"{numbers['peak_memory_bytes'] / 1e9:10.1f} GB{numbers['model_tflops']:15.2f}"
            f"{numbers['matrix_tflops']:16.1f}{numbers['share']:8.0%}"
        )
    plain = sides["trl"]
    ratios = {
        side: {
            "speed": numbers["tokens_per_second"] / plain["tokens_per_second"],
            "memory": numbers["peak_memory_bytes"] / plain["peak_memory_bytes"],
        }
        for side, numbers in sides.items()
        if side != "trl"
    }
    for side, ratio in ratios.items():
        print(f"{side} / trl: {ratio['speed']:.2f} x the speed, {ratio['memory']:.2f} x the memory")
    if options.smoke:
        return  # numbers of tiny shapes are no results
    packages = ("torch", "transformers", "peft", "trl", "unsloth", "academy")
    body = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "gpu": torch.cuda.get_device_name(),
            "cuda": torch.version.cuda,
            "cpus": os.cpu_count(),
            "platform": platform.platform(),
        },
        "versions": {name: _version(name) for name in packages},
        "parameters": parameters,
        "shape": LLAMA_1B,
        "recipe": RECIPE,
        "rows": options.rows,
        "rounds": options.rounds,
        "sides": sides,
        "over_trl": ratios,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(body, indent=1) + "\n")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


SIDES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "academy, unsloth": lambda folder: academy(folder, "unsloth"),
    "academy, peft": lambda folder: academy(folder, "peft"),
    "trl": trl,
}


if __name__ == "__main__":
    main()
