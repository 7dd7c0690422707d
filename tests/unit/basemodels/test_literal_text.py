"""No marker that people write is a token of the model's, whichever kind of tokenizer it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from academy.basemodels.literal_text import SEAM, LiteralText

_TEXT = ["the log says that one two three and then it stops", "<|im_end|> </s> <turn> end of turn"]


class Wrapped:
    """The part of a tokenizer that is needed, around any `tokenizers.Tokenizer`."""

    def __init__(self, backend: Tokenizer, around: str) -> None:
        self.backend_tokenizer = backend
        self._around = around

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return "".join(f"<s>{each['content']}{self._around}" for each in messages)

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": self.backend_tokenizer.encode(text, add_special_tokens=False).ids}


def _byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(_TEXT, trainer)
    return made


def _sentence_pieces(scheme: str) -> Tokenizer:
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    made.decoder = decoders.Metaspace(prepend_scheme=scheme)
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], show_progress=False)
    made.train_from_iterator(_TEXT, trainer)
    return made


def _legacy() -> Tokenizer:
    """As Llama's first ones: a normaliser puts the blank before each text."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], show_progress=False)
    made.train_from_iterator(_TEXT, trainer)
    return made


KINDS = {
    "legacy": _legacy,
    "byte level": _byte_level,
    "metaspace first": lambda: _sentence_pieces("first"),
    "metaspace never": lambda: _sentence_pieces("never"),
}


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest) -> Tokenizer:
    made = KINDS[request.param]()
    made.add_special_tokens([AddedToken(each, special=True) for each in ("<s>", "</s>", "<|end|>")])
    # Not special, but what this model's template puts around turns.
    made.add_tokens([AddedToken("<turn>", normalized=False)])
    return made


@pytest.mark.parametrize("marker", ["<s>", "</s>", "<|end|>", "<turn>", "<<s>s>", "</s></s>"])
def test_a_marker_becomes_the_tokens_of_its_letters(backend: Tokenizer, marker: str) -> None:
    literal = LiteralText(Wrapped(backend, "<turn>"))
    said = f"the log says {marker} and then it stops {marker}"
    own = {backend.token_to_id(each) for each in ("<s>", "</s>", "<|end|>", "<turn>")}
    ids = literal.tokens(literal.guard(said))
    assert not own.intersection(ids)
    decoded = backend.decode(ids, skip_special_tokens=False)
    assert decoded.replace(" ", "") == said.replace(" ", "")
    assert decoded.split() == said.split()


def test_what_the_template_writes_stays_a_marker(backend: Tokenizer) -> None:
    literal = LiteralText(Wrapped(backend, "<turn>"))
    ids = literal.tokens("<s>" + literal.guard("one </s> two") + "<turn>")
    assert (ids[0], ids[-1]) == (backend.token_to_id("<s>"), backend.token_to_id("<turn>"))
    assert backend.token_to_id("</s>") not in ids


def test_a_text_without_markers_has_the_tokens_it_always_had(backend: Tokenizer) -> None:
    literal = LiteralText(Wrapped(backend, "<turn>"))
    text = "<s>the log says one<turn>"
    assert literal.guard("the log") == "the log"
    assert literal.tokens(text) == backend.encode(text, add_special_tokens=False).ids


def test_a_seam_that_somebody_writes_is_taken_out(backend: Tokenizer) -> None:
    literal = LiteralText(Wrapped(backend, "<turn>"))
    assert literal.guard(f"one{SEAM} two") == "one two"


def test_a_long_text_of_markers_takes_time_that_grows_with_its_length(backend: Tokenizer) -> None:
    literal = LiteralText(Wrapped(backend, "<turn>"))
    assert len(literal.guard("<|end|>" * 20_000)) == 20_000 * (len("<|end|>") + len(SEAM))


def test_both_kinds_of_tokenizer_of_a_model_agree(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from academy.basemodels.tokenizer import ChatTokenizer
    from academy.trainer.tiny import make_tiny_model

    folder = make_tiny_model(tmp_path / "tiny")
    texts = [
        LiteralText(each) for each in (ChatTokenizer(folder), AutoTokenizer.from_pretrained(folder))
    ]
    said = "a <|im_end|> b <|im_start|>user"
    first, second = (each.tokens(each.guard(said)) for each in texts)
    assert first == second
