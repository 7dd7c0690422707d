"""Predicting memory and time from a model's headers, its recipe and the longest rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from academy.basemodels.shape import ModelShape, read_shape
from academy.errors import BaseModelUnavailable
from academy.recipes.duration import Work, estimate_seconds, gpu_rate, work_of
from academy.recipes.memory import LargestBatch, estimate_memory, ladder
from academy.recipes.recipe import Hardware, Recipe

CPU = Hardware("cpu", bf16=False)
GPU = Hardware("cuda", bf16=True, four_bit=True)
SHAPE = ModelShape(
    parameters=1_200_000_000,
    linears=tuple((f"model.layers.{n}.mlp.up_proj", 2048, 8192) for n in range(60)),
    layers=16,
    hidden=2048,
    vocabulary=128_000,
    longest=4096,
)


def _recipe(hardware: Hardware = CPU, **fields: object) -> Recipe:
    return Recipe.model_validate(fields).resolved(rows=100, hardware=hardware)


def _write_model(folder: Path, header: dict[str, object] | bytes) -> Path:
    folder.mkdir()
    config = {"num_hidden_layers": 2, "hidden_size": 8, "vocab_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw)
    return folder


def test_a_shape_is_read_from_the_headers_alone(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "model.embed_tokens.weight": {"dtype": "F32", "shape": [32, 8], "data_offsets": [0, 1]},
        "model.layers.0.mlp.up_proj.weight": {"shape": [16, 8]},
        "model.layers.0.self_attn.q_proj.weight": {"shape": [8, 8]},
        "model.norm.weight": {"shape": [8]},
        "lm_head.weight": {"shape": [32, 8]},
    }
    shape = read_shape(_write_model(tmp_path / "m", header))
    assert shape.parameters == 32 * 8 * 2 + 16 * 8 + 8 * 8 + 8
    assert [each[1:] for each in shape.linears] == [(8, 16), (8, 8)]
    assert [each[0] for each in shape.adapted(["q_proj"])] == ["model.layers.0.self_attn.q_proj"]


@pytest.mark.parametrize("header", [b"", b"{", b'{"a": 1}', b"[]", b'{"a": {"shape": 3}}'])
def test_a_damaged_model_is_said_to_be_one(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(BaseModelUnavailable, match="cannot be read"):
        read_shape(_write_model(tmp_path / "m", header))


def test_each_part_counts_what_it_says() -> None:
    batch = LargestBatch(tokens=1000, answers=100)
    found = estimate_memory(SHAPE, _recipe(lora_rank=8), batch, process_bytes=0)
    assert found.weights == 4 * SHAPE.parameters
    assert found.adapter == 60 * 8 * (2048 + 8192) * 16
    assert found.head == 100 * 128_000 * 12
    assert found.total == sum(value for name, value in found.as_dict().items() if name != "total")


def test_every_step_of_the_ladder_takes_less_and_keeps_the_rows_of_a_step() -> None:
    asked = _recipe(
        GPU,
        batch_size=12,
        gradient_accumulation=3,
        load_in_4bit=False,
        gradient_checkpointing=False,
    )
    steps = list(ladder(asked, four_bit=True))
    assert [step.batch_size for _, step in steps] == [12, 6, 3, 1, 1, 1]
    assert {step.rows_per_step for _, step in steps} == {36}
    assert [change for change, _ in steps][-2:] == ["gradient_checkpointing", "load_in_4bit"]
    totals = [
        estimate_memory(SHAPE, step, LargestBatch(500 * step.batch_size, 50)).total
        for _, step in steps
    ]
    assert totals == sorted(totals, reverse=True) and len(set(totals)) == len(totals)
    assert "load_in_4bit" not in [change for change, _ in ladder(asked, four_bit=False)]


def test_time_grows_with_tokens_and_shrinks_with_gpus() -> None:
    recipe = _recipe(num_epochs=2)
    work = work_of(recipe, tokens=1000, answers=100, rows=10)
    assert work == Work(2000, 200)
    assert work_of(_recipe(max_steps=3, num_epochs=2), 1000, 100, rows=10).tokens == 1000
    seconds = estimate_seconds(SHAPE, recipe, work, rate=1e12)
    assert estimate_seconds(SHAPE, recipe, replace(work, tokens=4000), rate=1e12) > seconds * 1.5
    assert estimate_seconds(SHAPE, recipe, work, rate=2e12) == pytest.approx(seconds / 2)


def test_a_gpu_is_known_by_its_name() -> None:
    assert gpu_rate("NVIDIA L40S") == 362e12
    assert gpu_rate("NVIDIA L4") == 121e12
    assert gpu_rate("NVIDIA H200 NVL") == 989e12
    assert gpu_rate("Some Other Card") is None
