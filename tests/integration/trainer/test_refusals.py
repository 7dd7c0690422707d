"""What cannot be trained is refused: status 2, and an error that names it and the way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

NO_DIGEST = "sha256:" + "0" * 64


def with_rows(folder: Path, *rows: Any) -> dict[str, Any]:
    """A dataset part for a spec, of a folder with these rows."""
    folder.mkdir()
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "train.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return {"path": str(folder), "digest": None}


def row(name: str, answer: str) -> dict[str, Any]:
    turns = (("user", "say it"), ("assistant", answer))
    return {"id": name, "messages": [{"role": role, "content": text} for role, text in turns]}


def pair(name: str, chosen: str, rejected: str) -> dict[str, Any]:
    prompt = [{"role": "user", "content": "say it"}]
    return {"id": name, "messages": prompt, "chosen": chosen, "rejected": rejected}


def copy_model(workshop: Any, name: str) -> Path:
    return Path(shutil.copytree(workshop.model, workshop.folder / "models" / name))


@pytest.fixture(scope="module")
def refused(workshop: Any) -> dict[str, Any]:
    """Every bad spec at once, because a trainer's start takes seconds of imports."""
    mute = copy_model(workshop, "mute")
    (mute / "chat_template.jinja").unlink()
    strange = copy_model(workshop, "strange")
    (strange / "config.json").write_text('{"model_type": "abacus"}')
    folder = workshop.folder
    changed = Path(shutil.copytree(workshop.dataset, folder / "changed"))
    with (changed / "train.jsonl").open("a") as stream:
        stream.write("\n")
    dataset = {"path": str(workshop.dataset), "digest": workshop.digest}
    specs: dict[str, dict[str, Any]] = {
        "schema version": {"schema_version": 2},
        "unknown field": {"surprise": 1},
        "recipe out of range": {"recipe": {"lora_rank": 0}},
        "four bits without a GPU": {"recipe": {"load_in_4bit": True}},
        "relative path": {"dataset": dataset | {"path": "dataset"}},
        "no base model": {"base_model": {"name": "absent", "path": "/nowhere/absent"}},
        "no dataset": {"dataset": {"path": "/nowhere/data", "digest": None}},
        "another digest": {"dataset": dataset | {"digest": NO_DIGEST}},
        "changed dataset": {"dataset": {"path": str(changed), "digest": workshop.digest}},
        "no checkpoint": {"resume_from": "/nowhere/step-00000001"},
        "no chat template": {"base_model": {"name": "mute", "path": str(mute)}},
        "unknown architecture": {"base_model": {"name": "strange", "path": str(strange)}},
        "no such layer": {"recipe": {"target_modules": ["no_such_layer"]}},
        "broken line": {"dataset": with_rows(folder / "broken", row("a", "b"), "{oops")},
        "no answer": {"dataset": with_rows(folder / "silent", row("quiet", " "))},
        "pairs for sft": {"dataset": with_rows(folder / "pairs", pair("two", "b", "c"))},
        "conversations for dpo": {
            "dataset": with_rows(folder / "plain", row("one", "b")),
            "recipe": {"method": "dpo"},
        },
        "unsloth without a GPU": {"recipe": {"backend": "unsloth"}},
        "nothing fits": {"dataset": with_rows(folder / "long", row("long", "long " * 999))},
    }
    trainers = {name: workshop.start(**parts) for name, parts in specs.items()}
    return {name: trainer.wait() for name, trainer in trainers.items()}


@pytest.mark.parametrize(
    ("case", "code", "named"),
    [
        ("schema version", "bad_spec", "schema_version is 2"),
        ("unknown field", "bad_spec", "surprise"),
        ("recipe out of range", "bad_spec", "recipe.lora_rank"),
        ("four bits without a GPU", "bad_spec", "load_in_4bit"),
        ("relative path", "bad_spec", "dataset.path is 'dataset'"),
        ("no base model", "base_model_unavailable", "/nowhere/absent"),
        ("no dataset", "bad_dataset", "/nowhere/data"),
        ("another digest", "digest_mismatch", NO_DIGEST),
        ("changed dataset", "digest_mismatch", "changed"),
        ("no checkpoint", "bad_spec", "/nowhere/step-00000001"),
        ("no chat template", "bad_spec", "chat template"),
        ("unknown architecture", "bad_spec", "abacus"),
        ("no such layer", "bad_spec", "no_such_layer"),
        ("broken line", "bad_dataset", "train.jsonl line 2"),
        ("no answer", "bad_dataset", "'quiet'"),
        ("pairs for sft", "bad_dataset", "'two' is a preference pair, which method 'dpo' learns"),
        ("conversations for dpo", "bad_dataset", "'one' has no 'chosen' and 'rejected' answer"),
        ("unsloth without a GPU", "bad_spec", "backend is 'unsloth', which needs a CUDA GPU"),
        ("nothing fits", "bad_dataset", "max_seq_length"),
    ],
)
def test_a_bad_spec_is_refused_by_name(
    refused: dict[str, Any], case: str, code: str, named: str
) -> None:
    outcome = refused[case]
    assert outcome.status == 2, outcome.stderr
    [error] = outcome.of("error")
    assert (error["code"], error) == (code, outcome.events[-1])
    assert named in error["message"]
    assert len(error["next_step"]) > 20
    assert not (outcome.out / "adapter").exists()
    assert not (outcome.out / "checkpoints").exists()


def test_a_full_disk_leaves_nothing_half_written(workshop: Any) -> None:
    # A limit on the size of files fails in the same place, and in the same way, as a full disk.
    limited = ["bash", "-c", 'ulimit -f 64; exec "$@"', "limited"]
    outcome = workshop.start(prefix=limited).wait()
    assert outcome.status == 1, outcome.stderr
    [error] = outcome.of("error")
    assert error["code"] == "storage"
    assert "step-00000000" in error["message"]
    assert not any(path.is_file() for path in outcome.out.rglob("*"))


def test_one_poisoned_row_is_survived_and_named_and_many_end_the_training(workshop: Any) -> None:
    """A model that answers NaN to the letter ~, like one whose weights overflow there."""
    from transformers import AutoTokenizer

    poisoned = copy_model(workshop, "poisoned")
    letter = AutoTokenizer.from_pretrained(poisoned)("~")["input_ids"][0]
    weights = load_file(poisoned / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    weights["model.embed_tokens.weight"][letter] = torch.nan
    save_file(weights, poisoned / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((poisoned / "config.json").read_text())
    (poisoned / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    base_model = {"name": "poisoned", "path": str(poisoned)}
    sound = [row(f"sound-{number}", "fine") for number in range(6)]
    recipe = {"batch_size": 1, "num_epochs": 1}
    one = with_rows(workshop.folder / "one", *sound, row("odd", "~~"))
    many = with_rows(workshop.folder / "many", *(row(f"odd-{number}", "~~") for number in range(6)))
    trainers = [
        workshop.start(base_model=base_model, dataset=each, recipe=recipe) for each in (one, many)
    ]
    survived, ended = (trainer.wait() for trainer in trainers)
    assert survived.status == 0, survived.stderr
    warnings = [event["message"] for event in survived.of("log") if event["level"] == "warning"]
    assert any("skipped" in warning and "odd" in warning for warning in warnings)
    assert ended.status == 1
    [error] = ended.of("error")
    assert error["code"] == "diverged"
    assert "step 3" in error["message"]
    assert "odd-" in error["message"]
