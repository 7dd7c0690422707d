"""Loading, switching and unloading adapters, and tokens a second: Academy's server beside PEFT.

Both sides run here, one after the other, on the same base model: SmolLM2-135M-Instruct if it was
prepared (`python -m academy.trainer.prepare`), else a tiny random model. The plain side calls
transformers and PEFT in this process; Academy's is its server process, over HTTP.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from academy.artifacts.manifest import write_manifest
from academy.embedded.program import free_port
from academy.processes import end_group, spawn
from academy.runtime.drivers import AdapterRef, EmbeddedDriver
from academy.settings import Settings
from academy.trainer.tiny import make_tiny_model

RESULTS = Path(__file__).parent / "results" / "swap.json"
TOKENS = 32
ROUNDS = 3
WORDS = "Write the first line of the commit message for this change: add(a, b) returns a + b now."


def main() -> None:
    """Measure both sides, print a table, write the JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = _base_model(folder)
        adapters = [_adapter(base, folder / each, each) for each in ("red", "blue")]
        result: dict[str, Any] = {
            "model": base.name,
            "cores": os.cpu_count(),
            "load_average_before": os.getloadavg()[0],
            "answer_tokens": TOKENS,
            "rounds": ROUNDS,
            "plain": plain(base, adapters),
            "academy": served(base, adapters),
            "load_average_after": os.getloadavg()[0],
        }
    names = [name for name in result["academy"] if name in result["plain"]]
    result["ratio_academy_to_plain"] = {
        name: round(result["academy"][name] / result["plain"][name], 3) for name in names
    }
    print(f"{base.name} on {os.cpu_count()} cores; medians of {ROUNDS}")
    print(f"{'':34}{'plain':>10}{'academy':>10}{'ratio':>8}")
    for name, value in result["academy"].items():
        other = result["plain"].get(name, float("nan"))
        print(f"{name:34}{other:10.3f}{value:10.3f}{value / other:8.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def plain(base: Path, adapters: list[AdapterRef]) -> dict[str, float]:
    """transformers and PEFT alone: one adapter active at a time, one batch from start to end."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    text = tokenizer.apply_chat_template(_messages(), add_generation_prompt=True, tokenize=False)

    def answer(model: Any, rows: int, tokens: int = TOKENS) -> None:
        prompt = tokenizer([text] * rows, return_tensors="pt", add_special_tokens=False)
        model.generate(**prompt, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens)

    answer(network, 1, 4)
    values = _rates("base", lambda rows: answer(network, rows))
    red, blue = adapters
    values["first_load_seconds"], model = _timed(
        lambda: PeftModel.from_pretrained(network, red.path, adapter_name="red")
    )
    values["load_seconds"], _ = _timed(lambda: model.load_adapter(blue.path, adapter_name="blue"))
    turns = iter(["red", "blue"] * ROUNDS)
    values["switch_seconds"] = _median(lambda: model.set_adapter(next(turns)))
    values |= _rates("adapter", lambda rows: answer(model, rows))
    values["unload_seconds"], _ = _timed(lambda: model.delete_adapter("blue"))
    return {name: round(value, 4) for name, value in values.items()}


def served(base: Path, adapters: list[AdapterRef]) -> dict[str, float]:
    """Academy's server: every adapter stays loaded, and each request names its own."""
    port = free_port()
    command = [sys.executable, "-m", "academy.runtime", "--model", str(base), "--name", "base"]
    process = spawn([*command, "--port", str(port), "--log-level", "WARNING"])
    driver = EmbeddedDriver(f"http://127.0.0.1:{port}")
    try:
        values = {"start_seconds": _timed(lambda: _wait_until_ready(driver))[0]}
        _answers(driver, ["base"], 4)
        values |= _rates("base", lambda rows: _answers(driver, ["base"] * rows))
        red, blue = adapters
        values["first_load_seconds"], _ = _timed(lambda: driver.load(red))
        values["load_seconds"], _ = _timed(lambda: driver.load(blue))
        values["load_again_seconds"], _ = _timed(lambda: driver.load(blue))
        # Nothing is switched: the next request names the other adapter. What a user sees of a
        # switch is how much later the first token of that request comes.
        turns = iter([red.name, blue.name] * ROUNDS)
        stay = _median(lambda: _answers(driver, [red.name], 1))
        switch = _median(lambda: _answers(driver, [next(turns)], 1))
        values["first_token_seconds"] = stay
        values["switch_seconds"] = max(switch - stay, 0.0)
        values |= _rates("adapter", lambda rows: _answers(driver, [red.name] * rows))
        mixed = ["base", red.name, blue.name, red.name] * 2
        seconds = _median(lambda: _answers(driver, mixed))
        values["mixed_tokens_per_second_at_8"] = 8 * TOKENS / seconds
        values["unload_seconds"], _ = _timed(lambda: driver.unload(blue.name))
    finally:
        driver.close()
        end_group(process, grace_seconds=20)
    return {name: round(value, 4) for name, value in values.items()}


def _answers(driver: EmbeddedDriver, models: list[str], tokens: int = TOKENS) -> None:
    """One request for each name, all at once; wait for every answer."""
    payload = {"messages": _messages(), "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    counts: list[int] = []

    def ask(model: str) -> None:
        counts.append(driver.chat(payload, model).usage["completion_tokens"])

    threads = [threading.Thread(target=ask, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if counts != [tokens] * len(models):
        raise SystemExit(f"the server answered {counts} tokens instead of {tokens} each")


def _rates(name: str, answer: Callable[[int], None]) -> dict[str, float]:
    """Tokens a second with one request and with eight at once."""
    return {
        f"{name}_tokens_per_second_at_{rows}": rows * TOKENS / _median(partial(answer, rows))
        for rows in (1, 8)
    }


def _wait_until_ready(driver: EmbeddedDriver) -> None:
    deadline = time.monotonic() + 180
    while not driver.health().ready:
        if time.monotonic() > deadline:
            raise SystemExit("the model server did not become ready within 180 s")
        time.sleep(0.05)


def _base_model(folder: Path) -> Path:
    for models in Settings.from_env().model_folders:
        real = models / "smollm2-135m-instruct"
        if (real / "config.json").is_file():
            return real
    return make_tiny_model(folder / "tiny")


def _adapter(base: Path, folder: Path, name: str) -> AdapterRef:
    """A LoRA of rank 16 on all linear layers, with random weights: time does not depend on them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = get_peft_model(network, config)
    for parameter_name, parameter in model.named_parameters():
        if "lora_B" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.01)
    model.save_pretrained(folder)
    return AdapterRef(name, folder, write_manifest(folder))


def _messages() -> list[dict[str, str]]:
    return [{"role": "user", "content": WORDS}]


def _median(action: Callable[[], Any]) -> float:
    return statistics.median(_timed(action)[0] for _ in range(ROUNDS))


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    value = action()
    return time.perf_counter() - began, value


if __name__ == "__main__":
    main()
