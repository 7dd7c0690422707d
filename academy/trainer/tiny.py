"""A tiny random Llama with a tokenizer and a chat template, to try the pipeline with.

``python -m academy.trainer.tiny DIR`` makes one in about a second. It has learnt nothing, but it
has every file of a real base model, so a training on it takes seconds and shows every step.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

#: ChatML as SmolLM2-Instruct speaks it: a default system prompt, turns closed by <|im_end|>.
CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_TEXT = (
    "The quick brown fox jumps over the lazy dog. You are a helpful assistant. "
    "Write the first line of the commit message for this change.\n"
    "def add(left, right):\n    return left + right\n\n"
    "Fix the return value of add when both are None."
)


def make_tiny_model(
    folder: Path,
    *,
    hidden_size: int = 64,
    layers: int = 2,
    vocabulary: int = 384,
    positions: int = 512,
    seed: int = 0,
) -> Path:
    """Write a random Llama, a byte-level BPE tokenizer and a ChatML template into `folder`.

    The weights depend on the arguments only, so the same arguments give the same model. Returns
    `folder`. `vocabulary` counts tokens and is at least 259: all bytes and three special tokens.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if vocabulary < 256 + len(_SPECIAL):
        raise ValueError(f"vocabulary is {vocabulary}, but bytes and special tokens need 259")
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)
    _tokenizer(vocabulary, positions).save_pretrained(folder)
    return folder


def _tokenizer(vocabulary: int, positions: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_TEXT], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
        chat_template=CHATML,
    )


def main() -> None:
    """Make a tiny model in the folder named on the command line."""
    parser = argparse.ArgumentParser(prog="academy.trainer.tiny", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = make_tiny_model(parser.parse_args().folder)
    sys.stdout.write(f"made a tiny base model in {folder}\n")


if __name__ == "__main__":
    main()
