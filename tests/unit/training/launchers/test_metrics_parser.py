"""Lines as Unsloth, transformers and plain PyTorch print them, whole, torn and senseless."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from academy.training.launchers.metrics_parser import TrainingMetricsParser
from academy.training.progress import ProgressFigures

#: A name, the lines, and what the last of them that says anything must tell.
CASES: list[tuple[str, list[str], dict[str, Any]]] = [
    (
        "transformers prints a python dictionary",
        ["{'loss': 1.8734, 'grad_norm': 0.4512, 'learning_rate': 0.00019, 'epoch': 0.03}"],
        {"loss": 1.8734, "grad_norm": 0.4512, "learning_rate": 0.00019, "epoch": 0.03},
    ),
    (
        "transformers 5 prints its numbers as texts",
        ["{'loss': '2.301', 'grad_norm': '1.75', 'learning_rate': '2e-05', 'epoch': '0.5'}"],
        {"loss": 2.301, "grad_norm": 1.75, "learning_rate": 2e-5, "epoch": 0.5},
    ),
    (
        "an evaluation of transformers",
        ["{'eval_loss': 0.9123, 'eval_runtime': 3.21, 'eval_samples_per_second': 9.9, 'epoch': 1}"],
        {"eval_loss": 0.9123, "epoch": 1.0},
    ),
    (
        "a bar tells the step of the dictionary after it",
        [
            " 10%|█         | 6/60 [00:12<01:48,  2.00s/it]",
            "{'loss': 0.7, 'learning_rate': 0.0002, 'epoch': 0.1}",
        ],
        {"loss": 0.7, "step": 6, "total_steps": 60, "progress": 0.1, "eta_seconds": 108.0},
    ),
    (
        "unsloth's banner tells the totals",
        [
            "==((====))==  Unsloth 2025.3: Fast Llama patching. Transformers: 4.49.0.",
            "   \\\\   /|    Num examples = 1,000 | Num Epochs = 2 | Total steps = 1,500",
            "{'loss': 1.25, 'grad_norm': 0.3, 'learning_rate': 4e-05, 'epoch': 0.5}",
        ],
        {"loss": 1.25, "total_steps": 1500, "epoch": 0.5, "progress": 0.25},
    ),
    ("the seeds' form", ["Epoch 1/3 - Loss: 0.45 - lr: 2e-4"], {"loss": 0.45, "epoch": 1.0}),
    ("an epoch without a loss begins", ["Epoch 2/4"], {"epoch": 1.0, "progress": 0.25}),
    ("a step of many", ["step 10/100 loss=0.5"], {"step": 10, "total_steps": 100, "loss": 0.5}),
    (
        "PyTorch's tutorial",
        ["Epoch [2/5], Step [100/600], Loss: 0.1934"],
        {"loss": 0.1934, "step": 700, "total_steps": 3000, "epoch": 1.166667},
    ),
    (
        "PyTorch's MNIST example counts rows",
        ["Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.135746"],
        {"loss": 2.135746, "epoch": 0.010667},
    ),
    (
        "PyTorch's ImageNet example",
        ["Epoch: [1][ 10/500]\tTime  0.2 ( 0.3)\tLoss 6.9 (7.0)\tAcc@1   0.39 (  0.1)"],
        {"loss": 6.9, "step": 510, "epoch": 1.02},
    ),
    (
        "nanoGPT",
        ["iter 1200: loss 3.4312, time 245.11ms, mfu 17.21%"],
        {"loss": 3.4312, "step": 1200},
    ),
    (
        "nanoGPT's evaluation",
        ["step 250: train loss 1.9628, val loss 2.0605"],
        {"loss": 1.9628, "eval_loss": 2.0605, "step": 250},
    ),
    (
        "lightning's bar carries the loss",
        ["Epoch 0:  10%|█         | 10/100 [00:01<00:09, 9.8it/s, v_num=0, train_loss=0.512]"],
        {"loss": 0.512, "step": 10, "total_steps": 100, "eta_seconds": 9.0},
    ),
    (
        "keras",
        ["Epoch 2/10", " 32/100 [=======>......] - ETA: 3s - loss: 0.3103 - accuracy: 0.9012"],
        {"loss": 0.3103, "accuracy": 0.9012, "epoch": 1.0},
    ),
    (
        "scientific notation",
        ["step=7 loss=1.234e+01 lr=5.000E-06 grad_norm=.5"],
        {"loss": 12.34, "learning_rate": 5e-6, "grad_norm": 0.5, "step": 7},
    ),
    ("a percentage of accuracy", ["accuracy: 91.5%"], {"accuracy": 0.915}),
    ("a percentage of the work", ["Training 45.5% complete"], {"progress": 0.455}),
    ("progress in percent", ["Progress: 12%"], {"progress": 0.12}),
    ("a loss that is no number", ["{'loss': nan, 'epoch': 0.2}"], {"loss": None, "epoch": 0.2}),
    ("an infinite loss", ["Step 3: loss = inf"], {"loss": None, "step": 3}),
    ("an infinite loss alone", ["loss=inf"], {"loss": None}),
    ("a negative infinite loss alone", ["train_loss: -Infinity"], {"loss": None}),
    ("a loss that is no number alone", ["loss: NaN"], {"loss": None}),
    (
        "a bar for each of so many epochs",
        ["Epoch 2/3:  45%|████▌     | 45/100 [00:10<00:12, 4.5it/s, loss=0.31]"],
        {"loss": 0.31, "epoch": 1.45, "step": 145, "total_steps": 300},
    ),
    ("such a bar at its end", ["Epoch 3/3: 100%|███| 100/100"], {"epoch": 3.0, "progress": 1.0}),
    (
        "a logger's prefix and colours",
        ["\x1b[32m2025-01-31 12:00:01,123 INFO\x1b[0m [rank0]: global_step=42 train/loss=0.25"],
        {"loss": 0.25, "step": 42},
    ),
    (
        "a bar and a dictionary on one line",
        [" 33%|███▎      | 20/60 [00:40<01:20,  2.00s/it]{'loss': 0.61, 'epoch': 1.0}"],
        {"loss": 0.61, "step": 20, "total_steps": 60, "epoch": 1.0},
    ),
    (
        "a torn dictionary gives what is whole",
        ["{'loss': 0.52, 'grad_norm': 0.11, 'learni", "ng_rate': 0.0001, 'epoch': 2.0}"],
        {"epoch": 2.0},
    ),
    (
        "tokens a second",
        ["step 5 | loss 2.5 | lr 3.00e-04 | norm: 0.9 | dt: 300.1ms | tok/sec: 1748.2"],
        {"loss": 2.5, "learning_rate": 3e-4, "tokens_per_second": 1748.2, "step": 5},
    ),
    ("a tensor's own print", ["loss: tensor(0.6931)"], {"loss": 0.6931}),
]

SILENT = [
    "",
    "Loading checkpoint shards:  50%|█████     | 1/2 [00:01<00:01,  1.2s/it]",
    "Map (num_proc=2):  10%|█         | 100/1000 [00:00<00:01, 900.00 examples/s]",
    "Tokenizing train dataset:  10%|█         | 100/1000 [00:00<00:01, 900.00 examples/s]",
    "Downloading model.safetensors: 100%|██████████| 269/269 [00:01<00:00, 200MB/s]",
    "Transformers: 4.49.0. CUDA 12.1, torch 2.5.1+cu121",
    "{'train_runtime': 60.1, 'train_samples_per_second': 9.9, 'train_loss': 0.61}",
    "aux_loss: 0.5",
    "lossless compression: 5",
    "loss: 1.2.3",
    "Traceback (most recent call last):",
]


@pytest.mark.parametrize(
    ("lines", "wanted"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_trainers_print_is_understood(lines: list[str], wanted: dict[str, Any]) -> None:
    parser = TrainingMetricsParser()
    found = [parsed for line in lines if (parsed := parser.parse(line)) is not None]
    assert found, lines
    assert {name: found[-1].get(name, "missing") for name in wanted} == wanted


@pytest.mark.parametrize("line", SILENT)
def test_other_lines_say_nothing_of_the_training(line: str) -> None:
    assert TrainingMetricsParser().parse(line) is None


def test_a_whole_log_gives_latest_best_and_average() -> None:
    parser, figures = TrainingMetricsParser(), ProgressFigures()
    shown: dict[str, Any] = {}
    for step, loss in enumerate(["2.0", "1.0", "nan", "1.5"], start=1):
        for line in (f" {25 * step}%|█ | {step}/4 [00:0{step}<00:01]", f"{{'loss': {loss}}}"):
            parsed = parser.parse(line)
            if parsed is not None:
                shown = figures.add({"type": "metrics", **parsed})
    assert (shown["loss"], shown["step"], shown["progress"]) == (1.5, 4, 1.0)
    assert (shown["first_loss"], shown["best_loss"], shown["average_loss"]) == (2.0, 1.0, 1.5)


def test_a_bar_that_repeats_itself_is_said_once() -> None:
    parser = TrainingMetricsParser()
    bar = " 10%|█         | 6/60 [00:12<01:48,  2.00s/it]"
    assert [parser.parse(bar) is None for _ in range(3)] == [False, True, True]


_PIECES = st.sampled_from(
    [
        "loss",
        "'loss': ",
        "epoch ",
        "Epoch [",
        "step ",
        "1/3",
        "[00:01<",
        "nan",
        "inf",
        "1e",
        "e-9999",
        ",000",
        "\x1b[",
        "tensor(",
        ": ",
        "=",
        "eval_",
        "lr",
        "\u0661",
        "%",
        "%|",
        "|",
        "1" * 40,
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(_PIECES | st.text(max_size=8), max_size=30).map("".join), max_size=5))
def test_no_line_breaks_the_parser_or_yields_what_json_cannot_hold(lines: list[str]) -> None:
    parser = TrainingMetricsParser()
    for line in lines:
        found = parser.parse(line)
        json.dumps(found, allow_nan=False)
        for value in (found or {}).values():
            assert value is None or math.isfinite(value)
        assert 0 <= ((found or {}).get("progress") or 0) <= 1


@pytest.mark.parametrize(
    "unit",
    [
        "loss",
        "loss ",
        "epoch [",
        "1",
        "1,",
        "1,111",
        " ",
        "%|",
        "1%|",
        "epoch: 1 [",
        "-",
        "1/",
        "|",
    ],
)
def test_the_longest_hostile_line_costs_no_more_than_its_length(unit: str) -> None:
    line = unit * (2_000_000 // len(unit))
    parser = TrainingMetricsParser()
    began = time.process_time()
    for _ in range(5):
        parser.parse(line)
    # A pattern that goes back over the line again and again would need minutes for this.
    assert time.process_time() - began < 5
