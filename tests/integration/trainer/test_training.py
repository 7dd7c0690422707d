"""A whole training, in its own process, and the files it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from academy.artifacts.manifest import verify_manifest
from academy.recipes.recipe import Recipe
from academy.runtime.chat import parse_chat
from academy.runtime.generation import Piece
from academy.runtime.inference_engine import InferenceEngine
from academy.runtime.prompts import ask_for
from academy.trainer.adapter import start_from
from academy.trainer.data.encoding import ChatEncoder, Encoded
from academy.trainer.data.rows import read_rows
from academy.trainer.model.model import load_model, load_tokenizer
from academy.trainer.spec import AdapterRef

METRICS = {
    *("step", "total_steps", "epoch", "progress", "loss", "learning_rate", "grad_norm", "tokens"),
    *("tokens_per_second", "memory_bytes", "eta_seconds", "eta_low", "eta_high"),
}


@pytest.fixture(scope="module")
def both(workshop: Any) -> list[Any]:
    """The same training twice, under two job ids and in processes that began differently."""
    started = [workshop.start(job_id="one", cold=True), workshop.start(job_id="two")]
    return [each.finish() for each in started]


@pytest.fixture(scope="module")
def done(both: list[Any]) -> Any:
    return both[0]


def test_a_training_leaves_exactly_these_files(done: Any) -> None:
    checkpoint = {"adapter.safetensors", "manifest.json", "optimizer.safetensors", "state.json"}
    adapter = {
        *("academy.json", "adapter_config.json", "adapter_model.safetensors"),
        *("chat_template.jinja", "manifest.json", "tokenizer.json", "tokenizer_config.json"),
    }
    out = done.out
    left = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert left == {
        "result.json",
        *(f"adapter/{name}" for name in adapter),
        *(f"checkpoints/step-0000001{step}/{name}" for step in (0, 2) for name in checkpoint),
    }


def test_the_events_tell_the_story_and_the_result_comes_last(done: Any) -> None:
    stages = [event["stage"] for event in done.of("stage")]
    assert stages == ["preparing", "evaluating_base", "training", "evaluating", "saving"]
    assert all(event["timestamp"].endswith("Z") for event in done.events)
    metrics = done.of("metrics")
    assert [event["step"] for event in metrics] == list(range(1, 13))
    assert all(event.keys() >= METRICS for event in metrics)
    assert metrics[-1]["progress"] == 1
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert metrics[5]["eta_low"] <= metrics[5]["eta_seconds"] <= metrics[5]["eta_high"]
    base, after = done.of("evaluation")
    assert (base["name"], base["step"], base["rows"]) == ("base", 0, 8)
    assert (after["name"], after["step"], after["rows"]) == ("adapter", 12, 8)
    for event in done.of("checkpoint")[-2:]:
        assert verify_manifest(Path(event["path"])) == event["digest"]
    result = done.events[-1]
    assert result["type"] == "result"
    on_disk = json.loads((done.out / "result.json").read_text())
    assert {name: result[name] for name in on_disk} == on_disk
    assert verify_manifest(Path(result["adapter_path"])) == result["digest"]


def test_the_summary_proves_the_gain_row_by_row(done: Any) -> None:
    summary = done.events[-1]["summary"]
    heldout = summary["heldout"]
    assert heldout["ids"] == [f"row-{number}" for number in range(24, 32)]
    assert all(len(each) == 8 for each in heldout.values())
    assert summary["adapter_loss"] < summary["base_loss"]
    gains = [b - a for b, a in zip(heldout["base"], heldout["adapter"], strict=True)]
    assert summary["gain"]["mean"] == pytest.approx(sum(gains) / 8)
    assert 0 < summary["gain"]["low"] < summary["gain"]["mean"] < summary["gain"]["high"]
    assert summary["rows"] == 24
    assert summary["rows_dropped"] == {}
    assert "auto" not in summary["recipe"].values()


def test_plain_peft_loads_the_adapter_and_gets_the_reported_loss(done: Any, workshop: Any) -> None:
    from peft import PeftModel  # seconds: not while tests are collected

    result = done.events[-1]
    folder = result["adapter_path"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    base = transformers.AutoModelForCausalLM.from_pretrained(workshop.model, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, folder).eval()
    row = json.loads((workshop.dataset / "heldout.jsonl").read_text().splitlines()[0])
    text = tokenizer.apply_chat_template(row["messages"], tokenize=False).rstrip("\n")
    prompt = tokenizer.apply_chat_template(
        row["messages"][:1], tokenize=False, add_generation_prompt=True
    )
    tokens = tokenizer(text, return_tensors="pt")["input_ids"]
    labels = tokens.clone()
    labels[:, : len(tokenizer(prompt)["input_ids"])] = -100
    with torch.no_grad():
        loss = float(model(input_ids=tokens, labels=labels).loss)
    assert loss == pytest.approx(result["summary"]["heldout"]["adapter"][0], rel=1e-4)


def test_the_adapter_says_where_it_comes_from_and_nothing_about_this_machine(
    done: Any, workshop: Any
) -> None:
    folder = Path(done.events[-1]["adapter_path"])
    origin = json.loads((folder / "academy.json").read_text())
    assert origin["base_model"]["name"] == "tiny"
    assert origin["base_model"]["digest"].startswith("sha256:")
    assert origin["dataset"]["digest"] == workshop.digest
    assert origin["recipe"]["lora_alpha"] == 32
    assert origin["metrics"]["gain"]["n"] == 8
    for path in folder.iterdir():
        assert str(workshop.folder).encode() not in path.read_bytes(), path


def test_equal_trainings_have_equal_digests(both: list[Any]) -> None:
    one, two = (outcome.events[-1] for outcome in both)
    assert one["digest"] == two["digest"]


def test_early_stopping_keeps_the_best_and_proves_it_on_other_rows(workshop: Any) -> None:
    recipe = {
        "num_epochs": 10,
        "learning_rate": 0.1,
        "lr_scheduler": "constant",
        "eval_interval_steps": 2,
        "early_stopping_patience": 2,
    }
    outcome = workshop.start(recipe=recipe).finish()
    summary = outcome.events[-1]["summary"]
    on_the_way = [event for event in outcome.of("evaluation") if event["name"] == "adapter"][:-1]
    losses = [event["loss"] for event in on_the_way]
    assert summary["steps"] < summary["total_steps"]
    assert min(losses) == losses[-3], "it stopped after two evaluations without a better one"
    assert {event["rows"] for event in on_the_way} == {4}
    assert summary["gain"]["n"] == 4


def test_rows_that_cannot_be_learnt_are_counted_and_said(workshop: Any, tmp_path: Path) -> None:
    long = {"role": "assistant", "content": "far too long " * 200}
    row = {"id": "long", "messages": [{"role": "user", "content": "hi"}, long]}
    text = (workshop.dataset / "train.jsonl").read_text() + json.dumps(row) + "\n"
    (tmp_path / "train.jsonl").write_text(text)
    dataset = {"path": str(tmp_path), "digest": None}
    outcome = workshop.start(dataset=dataset, recipe={"max_steps": 1}).finish()
    summary = outcome.events[-1]["summary"]
    assert summary["rows"] == 24
    assert list(summary["rows_dropped"].values()) == [1]
    assert summary["gain"] is None, "there are no held-out rows"
    warnings = [event["message"] for event in outcome.of("log") if event["level"] == "warning"]
    assert any("1 training rows were left out" in warning for warning in warnings)


def test_template_and_end_of_turn_travel_with_the_adapter(done: Any, workshop: Any) -> None:
    base, taken = (
        transformers.AutoTokenizer.from_pretrained(each)
        for each in (workshop.model, done.events[-1]["adapter_path"])
    )
    assert taken.chat_template == base.chat_template
    assert taken.eos_token_id == base.eos_token_id
    assert taken.get_vocab() == base.get_vocab()
    chat = [{"role": "user", "content": "repeat: alpha"}]
    assert taken.apply_chat_template(chat) == base.apply_chat_template(chat)


def test_trainer_and_runtime_read_and_write_the_same_tokens(done: Any, workshop: Any) -> None:
    """The prompt is what was trained on, and the answer is what the trained model says to it."""
    result = done.events[-1]
    recipe = Recipe.model_validate(result["summary"]["recipe"])
    trained = load_model(workshop.model, recipe)
    folder = Path(result["adapter_path"])
    base_digest = json.loads((folder / "academy.json").read_text())["base_model"]["digest"]
    start_from(trained, AdapterRef(path=folder, digest=result["digest"]), recipe, base_digest)
    tokenizer = load_tokenizer(workshop.model)
    encoder = ChatEncoder(tokenizer, 512)
    engine = InferenceEngine(workshop.model, "tiny")
    engine.start()
    try:
        assert engine.wait_until_loaded(60), engine.failure
        engine.load("golden", folder, result["digest"])
        for row in read_rows(workshop.dataset / "heldout.jsonl")[:4]:
            encoded = encoder.encode(row)
            assert isinstance(encoded, Encoded)
            prompt = encoded.tokens[: int(encoded.learnt.argmax())].tolist()
            said = list(prompt)
            with trained.evaluating(adapter=True):
                while len(said) < len(prompt) + 12 and said[-1] != tokenizer.eos_token_id:
                    logits = trained.peft_model(input_ids=torch.tensor([said])).logits
                    said.append(int(logits[0, -1].argmax()))
            payload = {"model": "golden", "messages": list(row.messages[:-1])}
            ask = ask_for(engine, parse_chat(payload | {"temperature": 0, "max_tokens": 12}))
            assert list(ask.prompt) == prompt
            pieces = engine.submit(ask).events(poll_seconds=0.2)
            text = "".join(each.text for each in pieces if isinstance(each, Piece))
            expected = tokenizer.decode(said[len(prompt) :], skip_special_tokens=True)
            assert text == expected
    finally:
        assert engine.close()
