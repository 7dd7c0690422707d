"""Training speed: Academy's trainer beside TRL's SFTTrainer, on the same model, rows and recipe.

    python benchmarks/training.py [--rows 40] [--rounds 2]

Each side trains in a process of its own, in turns, on rows of mixed length: a piece of Python from
the standard library is the prompt, its next lines are the answer. Whole processes are compared by
their wall time, with everything that a side does around its steps. TRL runs twice, once as its
documentation writes it (only gradient checkpointing is off, which would slow it on a CPU) and
once with rows grouped by length. Speed counts tokens without padding over the time in optimizer
steps. The held-out loss of every adapter is measured by the same code, to see that speed was not
bought with learning. The share of the machine is 4 x parameters x tokens/s over the measured rate
of matrix products: a LoRA token costs two products forward and two backward for each weight.

Results go to benchmarks/results/training.json.
"""

from __future__ import annotations

import argparse
import importlib.metadata
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

from academy.basemodels import folders
from academy.settings import Settings

MODEL = "smollm2-135m-instruct"
RESULTS = Path(__file__).parent / "results" / "training.json"
RECIPE = {
    "num_epochs": 1,
    "learning_rate": 5e-4,
    "batch_size": 4,
    "lora_rank": 16,
    "max_seq_length": 2048,
    "seed": 1,
}
SIDE_SECONDS = 900
SHAPES = (1024, 576), (576, 1536)


def main() -> None:
    """Run all sides in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.folder)))
        return
    load = os.getloadavg()[0]
    if load > 1.5:
        print(f"The load is {load:.1f}, so other programs take part of the machine: noisy numbers.")
    with tempfile.TemporaryDirectory() as name:
        write_rows(Path(name), options.rows)
        folder, rounds = Path(name), options.rounds
        sides = in_turns(__file__, SIDES, folder, rounds=rounds, seconds=SIDE_SECONDS)
    report(sides, options, load)


def measure(side: str, folder: Path) -> dict[str, Any]:
    """Train, with the rate of matrix products before and after: on a shared machine it changes."""
    dtype = "bfloat16" if "bfloat16" in side else "float32"
    before = matrix_products(dtype)
    numbers = SIDES[side](folder)
    gflops = (before + matrix_products(dtype)) / 2
    share = 4 * parameters() * numbers["tokens_per_second"] / (gflops * 1e9)
    return numbers | {"matrix_gflops": gflops, "share": share}


def report(sides: dict[str, dict[str, Any]], options: argparse.Namespace, load: float) -> None:
    """Print the table and write the JSON."""
    print(f"{'':22}tokens/s   share  GFLOP/s  held-out loss  peak memory  whole process")
    for side, numbers in sides.items():
        print(
            f"{side:22}{numbers['tokens_per_second']:8.0f}{numbers['share']:8.0%}"
            f"{numbers['matrix_gflops']:9.0f}"
            f"{numbers['heldout_loss']:15.3f}{numbers['peak_memory_bytes'] / 1e9:10.1f} GB"
            f"{numbers['wall_seconds']:13.0f} s"
        )
    ratios = {
        name: {
            side: sides["academy"][name] / numbers[name]
            for side, numbers in sides.items()
            if side.startswith("trl")
        }
        for name in ("tokens_per_second", "wall_seconds")
    }
    rows = wanted(sides["academy"]["share"], ratios)
    for row in rows:
        verdict = "held" if row["held"] else "short"
        print(f"{row['name']}: {row['measured']:.2f}, {verdict} ({row['wanted']})")
    packages = ("torch", "transformers", "peft", "trl", "academy")
    body = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            "platform": platform.platform(),
            "load_before": load,
        },
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "model": MODEL,
        "recipe": RECIPE,
        "rows": options.rows,
        "rounds": options.rounds,
        "sides": sides,
        "academy_over": ratios,
        "wanted": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(body, indent=1) + "\n")


def wanted(share: float, ratios: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """What the trainer has to reach, beside what it did."""
    speed, wall = ratios["tokens_per_second"], ratios["wall_seconds"]
    at_least = {
        **{f"tokens/s, academy / {side}": (1.3, ratio) for side, ratio in speed.items()},
        "share of matrix products, academy": (0.65, share),
    }
    at_most = {f"wall time, academy / {side}": (1.03, ratio) for side, ratio in wall.items()}
    return [
        {"name": name, "wanted": f"at least {limit}", "measured": each, "held": each >= limit}
        for name, (limit, each) in at_least.items()
    ] + [
        {"name": name, "wanted": f"at most {limit}", "measured": each, "held": each <= limit}
        for name, (limit, each) in at_most.items()
    ]


def model_path() -> Path:
    """Where `python -m academy.trainer.prepare` has put the model."""
    return folders.find(MODEL, Settings.from_env().model_folders).path


def academy(folder: Path, dtype: str = "float32") -> dict[str, Any]:
    """Academy's trainer."""
    summary = train_with_academy(folder, model_path(), RECIPE | {"dtype": dtype}, SIDE_SECONDS)
    return {
        "tokens_per_second": summary["tokens_per_second"],
        "tokens": summary["tokens"],
        "heldout_loss": summary["adapter_loss"],
        "base_loss": summary["base_loss"],
        "peak_memory_bytes": summary["peak_memory_bytes"],
    }


def parameters() -> int:
    """Weights of the base model."""
    from safetensors import safe_open

    with safe_open(model_path() / "model.safetensors", "pt") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118 - not a mapping
    return sum(rows * (width[0] if width else 1) for rows, *width in shapes)


def trl(folder: Path, **options: Any) -> dict[str, Any]:
    """TRL's trainer with the same schedule, and without what would slow it on a CPU."""
    trained = train_with_trl(
        folder,
        model_path(),
        RECIPE,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        gradient_checkpointing=False,
        dataset_num_proc=1,
        **options,
    )
    loss = heldout_loss(trained.model, trained.tokenizer, folder)
    return trained.numbers | {"heldout_loss": loss}


def heldout_loss(model: Any, tokenizer: Any, folder: Path) -> float | None:
    """The loss that Academy reports for its own adapters."""
    from academy.recipes.recipe import Recipe
    from academy.trainer.data.encoding import ChatEncoder
    from academy.trainer.data.rows import read_rows
    from academy.trainer.evaluation import evaluate
    from academy.trainer.model.model import AnswerModel
    from academy.trainer.objective import Objective
    from academy.trainer.ranks.ranks import Ranks

    rows = (
        ChatEncoder(tokenizer, 2048)
        .encode_all(read_rows(folder / "heldout.jsonl"), lambda: None)
        .rows
    )
    objective = Objective(AnswerModel(model, "cpu"), Recipe())
    return evaluate(objective, rows, adapter=True, check=lambda: None, ranks=Ranks()).loss


def matrix_products(dtype: str) -> float:
    """Rate of the model's own products, (1024 tokens, 576) by (576, 1536), in GFLOP/s."""
    import torch

    left, right = (torch.randn(*shape).to(getattr(torch, dtype)) for shape in SHAPES)
    times = []
    for _ in range(200):
        started = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - started)
    return 2 * 1024 * 576 * 1536 / statistics.median(times) / 1e9


SIDES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "academy": academy,
    "trl": trl,
    "trl, grouped by length": lambda folder: trl(folder, train_sampling_strategy="group_by_length"),
    "academy, bfloat16": lambda folder: academy(folder, "bfloat16"),
}


if __name__ == "__main__":
    main()
