import json
from typing import Any

import pytest
from pydantic import ValidationError

from academy.recipes.presets import PRESETS
from academy.recipes.recipe import Hardware, Recipe, RecipeImpossible

CPU = Hardware("cpu", bf16=False)
GPU = Hardware("cuda", bf16=True, four_bit=True)


def test_the_defaults_are_the_published_ones() -> None:
    recipe = Recipe()
    assert (recipe.lora_rank, recipe.learning_rate, recipe.num_epochs) == (16, 2e-4, 3)
    assert (recipe.batch_size, recipe.max_seq_length) == (4, 2048)


def test_every_field_is_described_and_every_number_has_a_range() -> None:
    for name, field in Recipe.model_json_schema()["properties"].items():
        assert len(field["description"]) > 20, name
        for kind in [field, *field.get("anyOf", [])]:
            if kind.get("type") in ("integer", "number"):
                assert {"minimum", "exclusiveMinimum"} & kind.keys(), name


@pytest.mark.parametrize(
    "wrong",
    [
        {"lora_rank": 0},
        {"lora_rank": 513},
        {"lora_rank": "16"},
        {"lora_rank": 16.0},
        {"lora_rank": True},
        {"lora_alpha": 0},
        {"lora_alpha": "twice"},
        {"lora_dropout": 1},
        {"learning_rate": 0},
        {"learning_rate": 1},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"num_epochs": 0},
        {"num_epochs": 101},
        {"max_steps": 0},
        {"batch_size": 0},
        {"gradient_accumulation": 0},
        {"max_seq_length": 15},
        {"warmup_ratio": 0.6},
        {"max_grad_norm": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"target_modules": []},
        {"target_modules": [""]},
        {"target_modules": ["q proj"]},
        {"target_modules": "everything"},
        {"lr_scheduler": "stairs"},
        {"method": "ppo"},
        {"dtype": "float16"},
        {"device": "tpu"},
        {"gpus": 0},
        {"gpus": 65},
        {"divergence_patience": 0},
        {"preset": "huge"},
        {"gpus": 0},
        {"gpus": 65},
        {"dpo_beta": 0},
        {"dpo_label_smoothing": 0.5},
        {"shard_model": True},
        {"shard_model": True, "gpus": 2, "load_in_4bit": True},
        {"backend": "jax"},
        {"backend": "unsloth", "gpus": 2},
        {"backend": "unsloth", "packing": True},
        {"backend": "unsloth", "use_dora": True},
        {"unknown": 1},
        {"early_stopping_patience": 2},
        {"load_in_4bit": True, "device": "cpu"},
    ],
    ids=json.dumps,
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(wrong)
    assert next(iter(wrong)) in str(caught.value)


def test_a_recipe_survives_json_unchanged() -> None:
    recipe = Recipe(target_modules=("q_proj", "v_proj"), lora_alpha=8, seed=7)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json(), strict=True) == recipe
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_resolving_leaves_no_auto_and_keeps_what_was_chosen() -> None:
    for hardware in (CPU, GPU):
        resolved = Recipe(lora_rank=8).resolved(rows=100, hardware=hardware)
        assert "auto" not in resolved.model_dump().values()
        assert resolved.lora_alpha == 16
        assert resolved.resolved(rows=100, hardware=hardware) == resolved
    chosen = Recipe(lora_alpha=3, dtype="float32", checkpoint_interval_steps=7)
    resolved = chosen.resolved(rows=100, hardware=GPU)
    assert (resolved.lora_alpha, resolved.dtype) == (3, "float32")
    assert resolved.checkpoint_interval_steps == 7


def test_auto_follows_the_hardware() -> None:
    plain = Recipe().resolved(rows=100, hardware=CPU)
    assert (plain.device, plain.dtype, plain.load_in_4bit) == ("cpu", "float32", False)
    assert plain.gradient_checkpointing is False
    modern = Recipe().resolved(rows=100, hardware=Hardware("cpu", bf16=True))
    assert modern.dtype == "bfloat16"
    gpu = Recipe().resolved(rows=100, hardware=GPU)
    assert (gpu.device, gpu.dtype, gpu.load_in_4bit) == ("cuda", "bfloat16", True)
    assert gpu.gradient_checkpointing is True
    on_cpu = Recipe(device="cpu").resolved(rows=100, hardware=GPU)
    assert (on_cpu.dtype, on_cpu.load_in_4bit) == ("float32", False)


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (Recipe(device="cuda"), "device"),
        (Recipe(load_in_4bit=True), "load_in_4bit"),
        (Recipe(dtype="bfloat16"), "dtype"),
        (Recipe(backend="unsloth"), "backend"),
    ],
)
def test_asking_for_what_the_machine_lacks_is_refused_by_name(recipe: Recipe, named: str) -> None:
    with pytest.raises(RecipeImpossible) as caught:
        recipe.resolved(rows=100, hardware=CPU)
    assert named in str(caught.value)
    assert caught.value.code == "bad_spec"


@pytest.mark.parametrize(
    ("recipe", "rows", "steps"),
    [
        (Recipe(), 8, 6),
        (Recipe(), 9, 9),
        (Recipe(batch_size=2, gradient_accumulation=2, num_epochs=1), 9, 3),
        (Recipe(max_steps=5), 100, 5),
        (Recipe(gpus=2), 9, 6),
        (Recipe(max_steps=500), 8, 6),
    ],
)
def test_the_steps_are_counted_as_the_trainer_takes_them(
    recipe: Recipe, rows: int, steps: int
) -> None:
    assert recipe.total_steps(rows) == steps


def test_a_preset_fills_in_what_is_left_out_and_nothing_else() -> None:
    for name, fields in PRESETS.items():
        recipe = Recipe.model_validate({"preset": name})
        assert recipe.model_dump() == Recipe().model_dump() | {"preset": name, **fields}
        assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    chosen = Recipe.model_validate_json('{"preset": "quality", "lora_rank": 4}')
    assert (chosen.lora_rank, chosen.use_rslora) == (4, True)


def test_auto_takes_unsloth_where_it_can_do_what_is_asked() -> None:
    gpu = Hardware("cuda", bf16=True, four_bit=True, unsloth=True, gpus=2)

    def backend(recipe: Recipe, hardware: Hardware = gpu) -> str:
        return recipe.resolved(rows=100, hardware=hardware).backend

    assert backend(Recipe()) == "unsloth"
    assert backend(Recipe(backend="peft")) == "peft"
    for beyond in (Recipe(gpus=2), Recipe(packing=True), Recipe(use_dora=True)):
        assert backend(beyond) == "peft"
    assert backend(Recipe(), GPU) == "peft", "it is not installed there"
    assert backend(Recipe(), CPU) == "peft"
    with pytest.raises(RecipeImpossible, match="backend is 'unsloth', which is not installed"):
        backend(Recipe(backend="unsloth"), GPU)


def test_more_gpus_than_there_are_are_refused_and_processes_on_a_cpu_are_not() -> None:
    with pytest.raises(RecipeImpossible, match="gpus is 2, but this process sees 1"):
        Recipe(gpus=2).resolved(rows=100, hardware=GPU)
    assert Recipe(gpus=2).resolved(rows=100, hardware=CPU).device == "cpu"
