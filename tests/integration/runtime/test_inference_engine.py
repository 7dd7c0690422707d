"""The engine answers as plain transformers and PEFT do, whatever else it is doing."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from academy.artifacts.manifest import write_manifest
from academy.runtime.chat import parse_chat
from academy.runtime.errors import (
    AdapterNotLoaded,
    AdapterUnfit,
    Busy,
    ModelFailed,
    TimedOut,
    TooManyAdapters,
)
from academy.runtime.generation import Finished, Generation, Piece
from academy.runtime.inference_engine import InferenceEngine, State
from academy.runtime.prompts import ask_for
from academy.runtime.scheduler import Limits
from academy.serving.drivers import AdapterRef
from tests.waiting import until

GOLDEN = [
    "Hello",
    "Write the first line of the commit message for this change.",
    "def add(left, right):\n    return left + right\n" * 4,
    "żółw 😀",
]


@pytest.fixture(scope="module")
def engine(base_folder: Path, red: AdapterRef, blue: AdapterRef) -> Iterator[InferenceEngine]:
    """An engine in this process with both adapters."""
    engine = InferenceEngine(base_folder, "tiny", limits=Limits(running=6, prompt_chunk_tokens=48))
    engine.start()
    assert engine.wait_until_loaded(60), engine.failure
    for adapter in (red, blue):
        engine.load(adapter.name, adapter.path, adapter.digest)
    yield engine
    assert engine.close()


def start(engine: InferenceEngine, model: str, words: str, **options: Any) -> Generation:
    messages = [{"role": "user", "content": words}]
    payload = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 24}
    return engine.submit(ask_for(engine, parse_chat({**payload, **options})))


def finish(generation: Generation) -> tuple[str, Finished]:
    text = ""
    for event in generation.events(poll_seconds=0.2):
        if isinstance(event, Piece):
            text += event.text
        elif isinstance(event, Finished):
            return text, event
    raise AssertionError("the generation ended without saying so")


def plain(base: Path, adapter: AdapterRef | None, words: str) -> tuple[str, int]:
    """What transformers and PEFT answer without Academy: text and number of tokens."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter.path)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": words}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.generate(**prompt, do_sample=False, max_new_tokens=24)[0]
    tokens = answer[prompt["input_ids"].shape[1] :]
    return tokenizer.decode(tokens, skip_special_tokens=True), len(tokens)


def test_a_mixed_batch_answers_as_plain_transformers_and_peft(
    engine: InferenceEngine, base_folder: Path, red: AdapterRef, blue: AdapterRef
) -> None:
    models = {"tiny": None, red.name: red, blue.name: blue}
    # All twelve at once: more than run together, so rows join and leave while others go on.
    started = [(words, name, start(engine, name, words)) for words in GOLDEN for name in models]
    for words, name, generation in started:
        text, finished = finish(generation)
        expected, tokens = plain(base_folder, models[name], words)
        assert expected.startswith(text), (name, words)
        assert expected[len(text) :].strip("\ufffd") == "", (name, words)
        assert finished.tokens == tokens


def test_the_adapters_answer_differently(
    engine: InferenceEngine, red: AdapterRef, blue: AdapterRef
) -> None:
    answers = {finish(start(engine, name, "Hello"))[0] for name in ("tiny", red.name, blue.name)}
    assert len(answers) == 3


def test_an_answer_does_not_depend_on_its_company(engine: InferenceEngine, red: AdapterRef) -> None:
    alone = finish(start(engine, red.name, "Hello", max_tokens=60))
    company = [
        start(engine, "tiny", words, max_tokens=n)
        for words, n in zip(GOLDEN[:3], (3, 9, 30), strict=True)
    ]
    together = start(engine, red.name, "Hello", max_tokens=60)
    company += [start(engine, red.name, GOLDEN[2], max_tokens=5)]
    assert finish(together) == alone
    for each in company:
        finish(each)


def test_a_seeded_sample_is_repeated_in_any_company(
    engine: InferenceEngine, blue: AdapterRef
) -> None:
    options = {"temperature": 1.2, "top_p": 0.9, "seed": 11, "max_tokens": 40}
    alone = finish(start(engine, blue.name, "Hello", **options))
    other = start(engine, "tiny", "Hello", max_tokens=50)
    assert finish(start(engine, blue.name, "Hello", **options)) == alone
    finish(other)


def test_loading_during_answers_changes_none_of_them(
    engine: InferenceEngine, base_folder: Path, red: AdapterRef, blue: AdapterRef
) -> None:
    alone = finish(start(engine, red.name, "Hello", max_tokens=120))
    running = start(engine, red.name, "Hello", max_tokens=120)
    assert next(event for event in running.events(5) if event)  # it has begun
    resident, fresh = engine.load("blue-again", blue.path, blue.digest)
    assert fresh and resident.files.digest == blue.digest
    later = finish(start(engine, "blue-again", "Hello"))
    engine.unload("blue-again")
    assert later == finish(start(engine, blue.name, "Hello"))
    text, finished = finish(running)
    assert finished == alone[1]
    assert alone[0].endswith(text)


def test_loading_the_same_digest_again_changes_nothing(
    engine: InferenceEngine, red: AdapterRef
) -> None:
    before = engine.resident(red.name)
    again, fresh = engine.load(red.name, red.path, red.digest)
    assert again is before
    assert not fresh


def test_unloading_waits_for_running_requests_and_refuses_new_ones(
    engine: InferenceEngine, red: AdapterRef
) -> None:
    engine.load("short-lived", red.path, red.digest)
    running = start(engine, "short-lived", "Hello", max_tokens=300, ignore_eos=True)
    unloading = threading.Thread(target=engine.unload, args=("short-lived",))
    unloading.start()

    def is_found_no_more() -> bool:
        if all(each.name != "short-lived" for each in engine.residents()):
            return True
        assert unloading.is_alive()
        return False

    until(is_found_no_more, 30, "no new request finds it", poll=0.002)
    with pytest.raises(AdapterNotLoaded, match="short-lived"):
        start(engine, "short-lived", "Hello")
    assert finish(running)[1].tokens == 300
    unloading.join(timeout=10)
    assert not unloading.is_alive()


def test_a_cancelled_request_leaves_its_place(engine: InferenceEngine) -> None:
    running = start(engine, "tiny", "Hello", max_tokens=400, ignore_eos=True)
    running.cancel()
    with pytest.raises(Busy, match="went away"):
        finish(running)
    assert finish(start(engine, "tiny", "Hello"))[1].tokens == 24


def test_an_end_token_a_stop_token_and_the_limit_are_told_apart(engine: InferenceEngine) -> None:
    free, finished = finish(start(engine, "tiny", "Hello", max_tokens=5))
    assert finished.reason == "length"
    assert finished.tokens == 5
    [token] = set(engine.base.tokenizer(free, add_special_tokens=False)["input_ids"])
    text, finished = finish(start(engine, "tiny", "Hello", stop_token_ids=[token]))
    assert (text, finished.reason, finished.tokens) == ("", "stop", 1)
    text, finished = finish(start(engine, "tiny", "Hello", stop=[free[:2]]))
    assert (text, finished.reason, finished.tokens) == ("", "stop", 2)


def test_a_full_queue_refuses_with_a_time_to_come_back(base_folder: Path) -> None:
    engine = InferenceEngine(base_folder, "tiny", limits=Limits(running=1, queued=1))
    engine.start()
    assert engine.wait_until_loaded(60), engine.failure
    running = start(engine, "tiny", "Hello", max_tokens=450, ignore_eos=True)
    assert next(event for event in running.events(5) if event)
    waiting = start(engine, "tiny", "Hello")
    with pytest.raises(Busy, match="1 requests are waiting") as refused:
        start(engine, "tiny", "Hello")
    assert refused.value.retry_after_seconds >= 1
    running.cancel()
    assert finish(waiting)[1].tokens == 24
    assert engine.close()


def test_adapters_beyond_the_limit_are_refused(
    base_folder: Path, red: AdapterRef, blue: AdapterRef
) -> None:
    engine = InferenceEngine(base_folder, "tiny", limits=Limits(adapters=1))
    engine.start()
    assert engine.wait_until_loaded(60), engine.failure
    engine.load(red.name, red.path, red.digest)
    with pytest.raises(TooManyAdapters, match="1 adapters"):
        engine.load(blue.name, blue.path, blue.digest)
    engine.unload(red.name)
    engine.load(blue.name, blue.path, blue.digest)
    assert engine.close()


def test_an_answer_that_takes_too_long_ends_with_that_reason(base_folder: Path) -> None:
    engine = InferenceEngine(base_folder, "tiny", limits=Limits(request_seconds=0.05))
    engine.start()
    assert engine.wait_until_loaded(60), engine.failure
    with pytest.raises(TimedOut, match=r"0\.05 s"):
        finish(start(engine, "tiny", "Hello", max_tokens=450, ignore_eos=True))
    assert engine.close()


def test_a_failed_step_ends_its_answers_and_leaves_nothing_behind(
    engine: InferenceEngine, red: AdapterRef
) -> None:
    before = finish(start(engine, red.name, "Hello"))
    running = start(engine, red.name, "Hello", max_tokens=4000, ignore_eos=True)
    assert next(event for event in running.events(5) if event)

    def fail(*_: object) -> None:
        hook.remove()
        raise RuntimeError("out of luck")

    # Inside the network, after layers below have written into the shared cache.
    hook = engine.base.network.get_submodule("model.layers.1").register_forward_pre_hook(fail)
    with pytest.raises(ModelFailed, match="out of luck"):
        finish(running)
    assert finish(start(engine, red.name, "Hello")) == before
    assert engine.counts() == {"waiting": 0, "running": 0}


def test_a_model_that_keeps_failing_says_so_and_takes_no_more(base_folder: Path) -> None:
    failures: list[str] = []
    engine = InferenceEngine(base_folder, "tiny", on_failure=failures.append)
    engine.start()
    assert engine.wait_until_loaded(60), engine.failure

    def fail(*_: object) -> None:
        raise RuntimeError("broken for good")

    engine.base.network.register_forward_pre_hook(fail)
    for _ in range(3):
        with pytest.raises(ModelFailed, match="broken for good"):
            finish(start(engine, "tiny", "Hello"))
    assert engine.close()
    assert engine.state is State.FAILED
    assert len(failures) == 1
    with pytest.raises(Busy, match="failed"):
        start(engine, "tiny", "Hello")


def test_an_adapter_with_a_chat_template_of_its_own_is_prompted_with_it(
    engine: InferenceEngine, base_folder: Path, red: AdapterRef, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_folder)
    counts = {}
    for name in ("same", "terse"):
        folder = tmp_path / name
        shutil.copytree(red.path, folder)
        if name == "terse":
            tokenizer.chat_template = "{{ messages[-1]['content'] }}"
        tokenizer.save_pretrained(folder)
        engine.load(name, folder, write_manifest(folder))
        counts[name] = finish(start(engine, name, "Hello"))[1].prompt_tokens
        engine.unload(name)
    assert counts["same"] == finish(start(engine, "tiny", "Hello"))[1].prompt_tokens
    assert counts["terse"] == len(tokenizer("Hello")["input_ids"])


def test_an_adapter_says_which_base_model_it_was_trained_on(
    engine: InferenceEngine, red: AdapterRef, tmp_path: Path
) -> None:
    for digest in (engine.base.digest, "sha256:" + "0" * 64):
        folder = tmp_path / digest[-8:]
        shutil.copytree(red.path, folder)
        origin = {"base_model": {"name": "llama", "digest": digest}}
        (folder / "academy.json").write_text(json.dumps(origin))
        if digest == engine.base.digest:
            engine.load("trained-here", folder, write_manifest(folder))
            engine.unload("trained-here")
        else:
            with pytest.raises(AdapterUnfit, match="trained on 'llama'"):
                engine.load("trained-elsewhere", folder, write_manifest(folder))
    assert all(not each.name.startswith("trained") for each in engine.residents())


def test_adapters_that_a_batch_cannot_mix_are_refused(
    engine: InferenceEngine, red: AdapterRef, tmp_path: Path
) -> None:
    for option, value in (("use_dora", True), ("bias", "all"), ("modules_to_save", ["lm_head"])):
        folder = tmp_path / option
        shutil.copytree(red.path, folder)
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, option: value}))
        with pytest.raises(AdapterUnfit, match=option):
            engine.load(option, folder, write_manifest(folder))


def test_an_adapter_whose_config_and_weights_disagree_leaves_no_trace(
    engine: InferenceEngine, red: AdapterRef, tmp_path: Path
) -> None:
    shutil.copytree(red.path, tmp_path / "torn")
    path = tmp_path / "torn" / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({name: each for name, each in weights.items() if "layers.1" not in name}, path)
    with pytest.raises(AdapterUnfit, match="disagree"):
        engine.load("torn", tmp_path / "torn", write_manifest(tmp_path / "torn"))
    before = finish(start(engine, red.name, "Hello"))
    engine.load("whole", red.path, red.digest)
    assert finish(start(engine, "whole", "Hello")) == before
    engine.unload("whole")


def test_a_model_that_cannot_be_read_fails_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    failures: list[str] = []
    engine = InferenceEngine(tmp_path, "broken", on_failure=failures.append)
    engine.start()
    assert not engine.wait_until_loaded(60)
    assert str(tmp_path) in engine.failure
    assert engine.close()
    assert failures == [engine.failure]
