"""What the model learns from a conversation: exactly the assistant's words and their ends."""

from pathlib import Path
from typing import Any

import pytest

from academy.trainer.data.encoding import CUT_MARK, ChatEncoder, Encoded, EncodedPair
from academy.trainer.data.rows import PreferenceRow, Row
from academy.trainer.model.model import load_tokenizer
from academy.trainer.spec import BadDataset, BadSpec

PLAIN = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
#: Like Qwen3's: an answer is rendered with an empty thought, earlier answers lose theirs.
FORGETFUL = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}{{ '<think></think>' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STRICT = (
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% endfor %}" + PLAIN
)


def row(*contents: str, system: str | None = None) -> Row:
    """A conversation in which user and assistant take turns."""
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return Row("row", tuple(messages))


@pytest.fixture()
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


def encode(tokenizer: Any, given: Row, max_length: int = 512) -> Encoded:
    encoded = ChatEncoder(tokenizer, max_length).encode(given)
    assert isinstance(encoded, Encoded), encoded
    return encoded


def learnt(tokenizer: Any, encoded: Encoded) -> str:
    return str(tokenizer.decode(encoded.tokens[encoded.learnt]))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row("hi", "hello"), "hello<|im_end|>"),
        (row("hi", "hello", system="Be brief."), "hello<|im_end|>"),
        (row("hi", "one", "more", "two"), "one<|im_end|>two<|im_end|>"),
        (row("say im_end", "a\n\nb\n"), "a\n\nb\n<|im_end|>"),
        (row("zażółć", "gęślą jaźń 🦊"), "gęślą jaźń 🦊<|im_end|>"),
        (row("hello", "hello"), "hello<|im_end|>"),
    ],
)
def test_exactly_the_answers_and_their_ends_are_learnt(
    tokenizer: Any, given: Row, expected: str
) -> None:
    encoded = encode(tokenizer, given)
    assert learnt(tokenizer, encoded) == expected
    assert encoded.answer_tokens == encoded.learnt.sum()


def test_the_prompt_is_tokenised_as_the_server_will_send_it(tokenizer: Any) -> None:
    given = row("question", "answer")
    encoded = encode(tokenizer, given)
    prompt = tokenizer.apply_chat_template(
        list(given.messages[:1]), add_generation_prompt=True, return_dict=True
    )["input_ids"]
    assert encoded.tokens[~encoded.learnt].tolist() == prompt


def test_the_row_ends_with_the_last_learnt_token(tokenizer: Any) -> None:
    encoded = encode(tokenizer, row("hi", "hello"))
    assert encoded.tokens[-1] == tokenizer.eos_token_id
    assert encoded.learnt[-1]


def test_a_template_that_never_ends_a_turn_gets_the_end_token_added(tokenizer: Any) -> None:
    # The space of its prompt 'assistant: ' melts into the answer's first token, which is learnt.
    tokenizer.chat_template = PLAIN
    encoded = encode(tokenizer, row("hi", "hello"))
    assert learnt(tokenizer, encoded) == " hello\n<|im_end|>"


def test_an_earlier_answer_that_the_template_rewrites_is_not_learnt(tokenizer: Any) -> None:
    tokenizer.chat_template = FORGETFUL
    encoded = encode(tokenizer, row("hi", "one", "more", "two"))
    assert learnt(tokenizer, encoded) == "<think></think>two<|im_end|>"


def test_a_long_prompt_loses_its_middle_and_the_answer_stays_whole(tokenizer: Any) -> None:
    words = " ".join(f"word{number}" for number in range(400))
    encoded = encode(tokenizer, row(words, "the answer"), max_length=200)
    assert encoded.cut
    assert 150 < len(encoded.tokens) <= 200
    assert learnt(tokenizer, encoded) == "the answer<|im_end|>"
    prompt = tokenizer.decode(encoded.tokens[~encoded.learnt])
    assert "word0 word1" in prompt
    assert "word398 word399" in prompt
    assert CUT_MARK in prompt


@pytest.mark.parametrize("letter", ["🦊", "ż", "a b", "\n"])
def test_cutting_ends_in_every_script(tokenizer: Any, letter: str) -> None:
    given = row(letter * 500, "ok", system=letter * 90)
    assert isinstance(ChatEncoder(tokenizer, 24).encode(given), str)
    encoded = encode(tokenizer, given, max_length=600)
    assert len(encoded.tokens) <= 600
    assert learnt(tokenizer, encoded) == "ok<|im_end|>"


def test_a_row_of_the_maximum_length_is_left_alone(tokenizer: Any) -> None:
    given = row("hi", "hello")
    length = len(encode(tokenizer, given).tokens)
    assert not encode(tokenizer, given, max_length=length).cut


def test_an_answer_that_does_not_fit_is_dropped_and_never_cut(tokenizer: Any) -> None:
    encoder = ChatEncoder(tokenizer, 64)
    short, long = row("hi", "hello"), row("hi", "answer " * 200)
    done = encoder.encode_all([long, short, long], lambda: None)
    assert [each.id for each in done.rows] == ["row"]
    assert done.dropped == {"the answer does not fit into max_seq_length": 2}


def test_a_tokenizer_without_a_chat_template_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    with pytest.raises(BadSpec, match="no chat template"):
        ChatEncoder(tokenizer, 64)


def test_a_row_that_the_template_refuses_is_named_with_the_reason(tokenizer: Any) -> None:
    tokenizer.chat_template = STRICT
    with pytest.raises(BadDataset, match=r"row.*System role not supported"):
        encode(tokenizer, row("hi", "hello", system="Be brief."))


def test_both_answers_of_a_pair_follow_the_same_prompt_and_alone_are_learnt(
    tokenizer: Any,
) -> None:
    prompt = (*row("hi", "hello").messages, {"role": "user", "content": "and " * 60})
    given = PreferenceRow("pair", prompt, "a longer answer", "no")
    whole = ChatEncoder(tokenizer, 1024).encode_pair(given)
    cut = ChatEncoder(tokenizer, 150).encode_pair(given)
    assert isinstance(whole, EncodedPair) and isinstance(cut, EncodedPair)
    for pair in (whole, cut):
        assert learnt(tokenizer, pair.chosen) == "a longer answer<|im_end|>"
        assert learnt(tokenizer, pair.rejected) == "no<|im_end|>"
        start = int(pair.chosen.learnt.argmax())
        assert pair.chosen.tokens[:start].tolist() == pair.rejected.tokens[:start].tolist()
    assert (whole.cut, cut.cut) == (False, True)
    assert len(cut.chosen.tokens) <= 150


def test_a_pair_of_equal_answers_says_nothing_and_is_left_out(tokenizer: Any) -> None:
    prompt = ({"role": "user", "content": "hi"},)
    done = ChatEncoder(tokenizer, 64).encode_all(
        [PreferenceRow("1", prompt, "a", "a"), PreferenceRow("2", prompt, "a", "b")], lambda: None
    )
    assert [each.id for each in done.rows] == ["2"]
    assert done.dropped == {"the chosen and the rejected answer are the same": 1}
