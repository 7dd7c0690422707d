"""Training speed: Academy's trainer beside TRL's SFTTrainer, on the same model, rows and recipe.

    python benchmarks/training.py [--rows 40] [--rounds 2]

Each side trains in a process of its own, in turns, on rows of mixed length: a piece of Python from
the standard library is the prompt, its next lines are the answer. TRL runs twice, once as its
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
import random
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from academy import basemodels
from academy.settings import Settings

MODEL = "smollm2-135m-instruct"
RESULTS = Path(__file__).parent / "results" / "training.json"
RECIPE = {"num_epochs": 1, "learning_rate": 5e-4, "batch_size": 4, "lora_rank": 16, "seed": 1}
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
        taken: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(options.rounds):
            for side, results in taken.items():
                results.append(run_side(side, Path(name)))
                print(f"  {side}: {results[-1]}", file=sys.stderr)
    report({side: median(results) for side, results in taken.items()}, options, load)


def run_side(side: str, folder: Path) -> dict[str, Any]:
    """One side in a fresh process; what it measured and its wall-clock time."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, __file__, f"--side={side}", f"--folder={folder}"],
        capture_output=True,
        text=True,
        timeout=SIDE_SECONDS,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured | {"wall_seconds": round(time.monotonic() - started, 1)}


def measure(side: str, folder: Path) -> dict[str, Any]:
    """Train, with the rate of matrix products before and after: on a shared machine it changes."""
    dtype = "bfloat16" if "bfloat16" in side else "float32"
    before = matrix_products(dtype)
    numbers = SIDES[side](folder)
    gflops = (before + matrix_products(dtype)) / 2
    share = 4 * parameters() * numbers["tokens_per_second"] / (gflops * 1e9)
    return numbers | {"matrix_gflops": gflops, "share": share}


def median(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each number over the rounds."""
    return {name: statistics.median(each[name] for each in results) for name in results[0]}


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
        side: sides["academy"]["tokens_per_second"] / numbers["tokens_per_second"]
        for side, numbers in sides.items()
        if side.startswith("trl")
    }
    for side, ratio in ratios.items():
        print(f"academy / {side}: {ratio:.2f}")
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
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(body, indent=1) + "\n")


def write_rows(folder: Path, count: int) -> None:
    """Rows of 60 to 700 tokens, most of them short, from the standard library's sources."""
    chance = random.Random(7)
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    rows: list[str] = []
    while len(rows) < count + 16:
        lines = chance.choice(sources).read_text(errors="replace").splitlines()
        size = min(60, max(4, round(chance.lognormvariate(2.7, 0.7))))
        if len(lines) < size + 4:
            continue
        start = chance.randrange(len(lines) - size - 3)
        prompt, answer = lines[start : start + size], lines[start + size : start + size + 3]
        if not "".join(answer).strip():
            continue
        messages = [
            {"role": "user", "content": "Write the next three lines.\n\n" + "\n".join(prompt)},
            {"role": "assistant", "content": "\n".join(answer)},
        ]
        rows.append(json.dumps({"id": f"row-{len(rows)}", "messages": messages}) + "\n")
    (folder / "train.jsonl").write_text("".join(rows[:count]))
    (folder / "heldout.jsonl").write_text("".join(rows[count:]))


def model_path() -> Path:
    """Where `python -m academy.trainer.prepare` has put the model."""
    return basemodels.find(MODEL, Settings.from_env().model_folders).path


def academy(folder: Path, dtype: str = "float32") -> dict[str, Any]:
    """Academy's trainer as a worker starts it."""
    spec = {
        "schema_version": 1,
        "job_id": "benchmark",
        "attempt": 1,
        "base_model": {"name": MODEL, "path": str(model_path())},
        "dataset": {"path": str(folder), "digest": None},
        "recipe": RECIPE | {"dtype": dtype, "checkpoint_interval_steps": 1000},
    }
    with tempfile.TemporaryDirectory() as out:
        path = Path(out) / "spec.json"
        path.write_text(json.dumps(spec))
        command = [sys.executable, "-m", "academy.trainer", str(path), "--out", out]
        subprocess.run(
            command, stdout=subprocess.DEVNULL, timeout=SIDE_SECONDS, check=True, text=True
        )
        summary = json.loads((Path(out) / "result.json").read_text())["summary"]
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


def trl(folder: Path, grouped: bool = False) -> dict[str, Any]:
    """The SFTTrainer script of TRL's documentation, with the same recipe."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Clock(TrainerCallback):  # type: ignore[misc]
        """Time from the beginning to the end of each optimizer step."""

        seconds = 0.0
        started = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.monotonic()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.seconds += time.monotonic() - self.started

    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    examples = [
        {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in rows
    ]
    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    with tempfile.TemporaryDirectory() as out:
        options: dict[str, Any] = {"train_sampling_strategy": "group_by_length"} if grouped else {}
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32),
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(examples),
            peft_config=LoraConfig(
                r=RECIPE["lora_rank"],
                lora_alpha=2 * RECIPE["lora_rank"],
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            ),
            args=SFTConfig(
                output_dir=out,
                num_train_epochs=RECIPE["num_epochs"],
                per_device_train_batch_size=RECIPE["batch_size"],
                learning_rate=RECIPE["learning_rate"],
                lr_scheduler_type="cosine",
                warmup_steps=0.03,
                max_length=2048,
                completion_only_loss=True,
                gradient_checkpointing=False,
                use_cpu=True,
                bf16=False,
                seed=RECIPE["seed"],
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataset_num_proc=1,
                **options,
            ),
            callbacks=[clock],
        )
        trainer.train()
        tokens = sum(len(each["input_ids"]) for each in trainer.train_dataset)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {
            "tokens_per_second": tokens / clock.seconds,
            "tokens": tokens,
            "heldout_loss": heldout_loss(trainer.model, tokenizer, folder),
            "peak_memory_bytes": peak,
        }


def heldout_loss(model: Any, tokenizer: Any, folder: Path) -> float | None:
    """The loss that Academy reports for its own adapters."""
    from academy.trainer.encoding import ChatEncoder
    from academy.trainer.evaluation import evaluate
    from academy.trainer.model import AnswerModel
    from academy.trainer.objective import Objective
    from academy.trainer.ranks import Ranks
    from academy.trainer.rows import read_rows
    from academy.training.recipe import Recipe

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
    "trl, grouped by length": lambda folder: trl(folder, grouped=True),
    "academy, bfloat16": lambda folder: academy(folder, "bfloat16"),
}


if __name__ == "__main__":
    main()
