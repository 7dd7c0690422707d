"""Loading, switching and unloading adapters, and tokens a second: Academy's server beside PEFT.

Both sides run here, in turns, on the same base model: SmolLM2-135M-Instruct if it was
prepared (`python -m academy.trainer.prepare`), else a tiny random model. The plain side calls
transformers and PEFT in this process; Academy's is its server process, over HTTP.
"""

from __future__ import annotations

import itertools
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
from academy.host.processes import end_group, spawn
from academy.serving.drivers import AdapterRef, EmbeddedDriver
from academy.settings import Settings
from academy.trainer.tiny import make_tiny_model

RESULTS = Path(__file__).parent / "results" / "swap.json"
TOKENS = 32
ROUNDS = 3
WORDS = "Write the first line of the commit message for this change: add(a, b) returns a + b now."


def main() -> None:
    """Measure both sides in turns, print a table, write the JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = _base_model(folder)
        adapters = [_adapter(base, folder / each, each) for each in ("red", "blue")]
        load_average = os.getloadavg()[0]
        plain, academy = Plain(base, adapters), Served(base, adapters)
        try:
            values = measure(plain, academy)
        finally:
            academy.close()
    result = {
        "model": base.name,
        "cores": os.cpu_count(),
        "load_average": [load_average, os.getloadavg()[0]],
        "answer_tokens": TOKENS,
        "rounds": ROUNDS,
        "values": values,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{base.name} on {os.cpu_count()} cores; medians of {ROUNDS} rounds in turns")
    print(f"{'':34}{'plain':>10}{'academy':>10}{'ratio':>8}")
    for label, row in values.items():
        shown = [f"{row.get(side, float('nan')):10.3f}" for side in ("plain", "academy")]
        print(f"{label:34}{shown[0]}{shown[1]}{row.get('ratio', float('nan')):8.2f}")


def measure(plain: Plain, academy: Served) -> dict[str, dict[str, float]]:
    """Every value of both sides and academy's divided by plain's."""
    values: dict[str, dict[str, float]] = {}

    def note(label: str, ours: float, theirs: float | None = None) -> None:
        values[label] = {"academy": round(ours, 4)}
        if theirs is not None:
            values[label] |= {"plain": round(theirs, 4), "ratio": round(ours / theirs, 3)}

    def rates(model: str) -> None:
        for rows in (1, 8):
            theirs, ours = _in_turns(
                lambda: plain.answer(rows),  # noqa: B023  # it is called before the next round
                lambda: academy.answer([model] * rows),  # noqa: B023
            )
            note(
                f"{model}_tokens_per_second_at_{rows}", rows * TOKENS / ours, rows * TOKENS / theirs
            )

    note("start_seconds", academy.start_seconds)
    rates("base")
    for label, index in (("first_load_seconds", 0), ("load_seconds", 1)):
        theirs = _timed(partial(plain.load, index))
        note(label, _timed(partial(academy.load, index)), theirs)
    note("load_again_seconds", _timed(partial(academy.load, 1)))
    rates("red")
    mixed = ["base", "red", "blue", "red"] * 2
    note("mixed_tokens_per_second_at_8", 8 * TOKENS / _timed(lambda: academy.answer(mixed)))
    # Nothing is switched in the server: the next request names the other adapter. What a user sees
    # of a switch is how much later the first token of that request comes.
    turns = itertools.cycle(["red", "blue"])
    stay, switch = _in_turns(
        lambda: academy.answer(["red"], 1), lambda: academy.answer([next(turns)], 1)
    )
    note("first_token_seconds", stay)
    theirs = statistics.median(_timed(lambda: plain.switch(next(turns))) for _ in range(ROUNDS))
    note("switch_seconds", max(switch - stay, 0.0), theirs)
    note("unload_seconds", _timed(academy.unload), _timed(plain.unload))
    return values


class Plain:
    """transformers and PEFT alone: one adapter active at a time, one batch from start to end."""

    def __init__(self, base: Path, adapters: list[AdapterRef]) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._adapters = adapters
        self._tokenizer = AutoTokenizer.from_pretrained(base)
        self._model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        self._text = self._tokenizer.apply_chat_template(
            _messages(), add_generation_prompt=True, tokenize=False
        )
        self.answer(1, 4)

    def answer(self, rows: int, tokens: int = TOKENS) -> None:
        """Generate so many tokens for each of `rows` equal prompts."""
        prompt = self._tokenizer([self._text] * rows, return_tensors="pt", add_special_tokens=False)
        self._model.generate(
            **prompt, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens
        )

    def load(self, index: int) -> None:
        """Load an adapter; the first one wraps the model and becomes active."""
        from peft import PeftModel

        adapter = self._adapters[index]
        if index == 0:
            self._model = PeftModel.from_pretrained(
                self._model, adapter.path, adapter_name=adapter.name
            )
        else:
            self._model.load_adapter(adapter.path, adapter_name=adapter.name)

    def switch(self, name: str) -> None:
        """Make another adapter the active one."""
        self._model.set_adapter(name)

    def unload(self) -> None:
        """Delete the second adapter."""
        self._model.set_adapter(self._adapters[0].name)
        self._model.delete_adapter(self._adapters[1].name)


class Served:
    """Academy's server: every adapter stays loaded, and each request names its own."""

    def __init__(self, base: Path, adapters: list[AdapterRef]) -> None:
        self._adapters = adapters
        port = free_port()
        command = [sys.executable, "-m", "academy.runtime", "--model", str(base), "--name", "base"]
        self._process = spawn([*command, "--port", str(port), "--log-level", "WARNING"])
        self._driver = EmbeddedDriver(f"http://127.0.0.1:{port}")
        self.start_seconds = _timed(lambda: _wait_until_ready(self._driver))
        self.answer(["base"], 4)

    def answer(self, models: list[str], tokens: int = TOKENS) -> None:
        """One request for each name, all at once."""
        _answers(self._driver, models, tokens)

    def load(self, index: int) -> None:
        """Load an adapter."""
        self._driver.load(self._adapters[index])

    def unload(self) -> None:
        """Unload the second adapter."""
        self._driver.unload(self._adapters[1].name)

    def close(self) -> None:
        """End the server."""
        self._driver.close()
        end_group(self._process, grace_seconds=20)


def _answers(driver: EmbeddedDriver, models: list[str], tokens: int) -> None:
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


def _in_turns(*actions: Callable[[], None]) -> list[float]:
    """The median seconds of each, measured in turns so that a busy machine hurts all alike."""
    seconds = [[_timed(action) for action in actions] for _ in range(ROUNDS)]
    return [statistics.median(each) for each in zip(*seconds, strict=True)]


def _timed(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
