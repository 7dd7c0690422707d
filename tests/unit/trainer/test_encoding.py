"""What the model learns from a conversation: exactly the assistant's words and their ends."""

from pathlib import Path
from typing import Any

import pytest

from academy.trainer.data.encoding import CUT_MARK, ChatEncoder, Encoded, EncodedPair
from academy.trainer.data.rows import PreferenceRow, Row
from academy.trainer.model.model import load_tokenizer
from academy.trainer.spec import BadSpec
from academy.trainer.tiny import CHATML

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
#: Like DeepSeek-R1's: it opens a thought for the model, and leaves it out of turns that are over.
THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{{ message['content'].split('</think>')[-1].strip() + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
#: Like Llama 3's: it strips what was said.
TRIMMING = CHATML.replace("message['content'] +", "message['content'] | trim +")
#: The prompt ends with a line break more than the turn that is over.
UNLIKE = CHATML.replace("assistant\n' }}", "assistant\n\n' }}")
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
    tokenizer.chat_template = PLAIN
    encoded = encode(tokenizer, row("hi", "hello"))
    assert learnt(tokenizer, encoded) == "hello\n<|im_end|>"


@pytest.mark.parametrize("template", [CHATML, PLAIN, FORGETFUL, THINKING, TRIMMING, UNLIKE])
def test_what_is_served_before_the_answer_is_how_the_row_begins(
    tokenizer: Any, template: str
) -> None:
    tokenizer.chat_template = template
    given = row("hi", "one", "say The quick brown", "The fox")
    encoded = encode(tokenizer, given)
    text = tokenizer.apply_chat_template(
        list(given.messages[:-1]), add_generation_prompt=True, tokenize=False
    )
    served = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert encoded.tokens[: len(served)].tolist() == served
    assert encoded.learnt[len(served) :].all()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("hello", "\n</think>\n\nhello<|im_end|>"),
        ("<think>\nwhy\n</think>\n\nhello", "why\n</think>\n\nhello<|im_end|>"),
    ],
)
def test_a_thought_that_the_prompt_opens_is_closed_before_the_answer(
    tokenizer: Any, answer: str, expected: str
) -> None:
    tokenizer.chat_template = THINKING
    assert learnt(tokenizer, encode(tokenizer, row("hi", answer))) == expected


@pytest.mark.parametrize("template", [CHATML, TRIMMING, THINKING])
def test_the_blanks_that_an_answer_begins_with_are_learnt(tokenizer: Any, template: str) -> None:
    tokenizer.chat_template = template
    said = learnt(tokenizer, encode(tokenizer, row("body of f", "    return 1\n")))
    assert "    return 1" in said


def test_a_prompt_that_finished_turns_lack_is_put_before_the_answer(tokenizer: Any) -> None:
    tokenizer.chat_template = CHATML.replace("assistant\n' }}", "assistant\nSure: ' }}")
    encoded = encode(tokenizer, row("hi", "hello"))
    assert learnt(tokenizer, encoded) == "hello<|im_end|>"
    assert tokenizer.decode(encoded.tokens).endswith("assistant\nSure: hello<|im_end|>")


def test_an_answer_that_the_template_rewrites_leaves_the_row_out(tokenizer: Any) -> None:
    tokenizer.chat_template = CHATML.replace("message['content'] +", "message['content'][::-1] +")
    tokenizer.chat_template = tokenizer.chat_template.replace("assistant\n' }}", "model\n' }}")
    done = ChatEncoder(tokenizer, 512).encode_all([row("hi", "hello")], lambda: None)
    assert done.dropped == {"the model's chat template rewrites the answer": 1}


@pytest.mark.parametrize(
    "answer", ["<div>x</div>", "<", "<!DOCTYPE html>", "<think>\nhm\n</think>"]
)
def test_an_answer_that_begins_like_the_thought_follows_it(tokenizer: Any, answer: str) -> None:
    tokenizer.chat_template = THINKING
    encoded = encode(tokenizer, row("hi", answer))
    expected = (
        "hm\n</think>\n\n<|im_end|>" if "hm" in answer else f"\n</think>\n\n{answer}<|im_end|>"
    )
    assert learnt(tokenizer, encoded) == expected


def test_a_system_message_that_moves_once_it_is_answered_stays_where_it_is_served(
    tokenizer: Any,
) -> None:
    """Like Mistral's: the system message stands before the last message, if that is the user's."""
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' }}"
        "{% if loop.last and messages[0]['role'] == 'system' %}"
        "{{ messages[0]['content'] + '\\n\\n' }}"
        "{% endif %}{{ m['content'] + '[/INST]' }}{% elif m['role'] == 'assistant' %}"
        "{{ ' ' + m['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
    )
    encoded = encode(tokenizer, row("hi", "hello", system="Be."))
    text = tokenizer.decode(encoded.tokens)
    assert text == "[INST] Be.\n\nhi[/INST] hello<|im_end|>"


def test_a_token_at_the_end_of_all_turns_keeps_no_earlier_answer_from_being_learnt(
    tokenizer: Any,
) -> None:
    """Like Phi-3's, whose conversations end with a token that is no turn's."""
    last = "{% else %}{{ '<|endoftext|>' }}{% endif %}"
    tokenizer.chat_template = CHATML.removesuffix("{% endif %}") + last
    encoded = encode(tokenizer, row("hi", "one", "more", "two"))
    assert learnt(tokenizer, encoded).startswith("one<|im_end|>two<|im_end|>")
    assert encoded.unlearnt == 0


def test_blanks_of_an_earlier_answer_that_the_template_strips_are_not_learnt_without_them(
    tokenizer: Any,
) -> None:
    tokenizer.chat_template = TRIMMING
    encoded = encode(tokenizer, row("a", "    one", "b", "    two"))
    assert (learnt(tokenizer, encoded), encoded.unlearnt) == ("    two<|im_end|>", 1)


def test_an_earlier_answer_that_is_empty_teaches_nothing_and_is_counted(tokenizer: Any) -> None:
    done = ChatEncoder(tokenizer, 512).encode_all(
        [row("hi", " ", "more", "two"), row("hi", "one", "more", "two")], lambda: None
    )
    assert [learnt(tokenizer, each) for each in done.rows] == [
        "two<|im_end|>",
        "one<|im_end|>two<|im_end|>",
    ]
    assert done.unlearnt == 1


def test_markers_that_people_write_are_text(tokenizer: Any) -> None:
    marked = encode(
        tokenizer, row("<|im_end|> <|im_start|>assistant", "no<|im_end|> or <|im_start|>")
    )
    plain = encode(tokenizer, row("one two", "no or"))
    special = set(tokenizer.all_special_ids)
    counts = [sum(each in special for each in row.tokens.tolist()) for row in (marked, plain)]
    assert counts[0] == counts[1]
    assert learnt(tokenizer, marked) == "no<|im_end|> or <|im_start|><|im_end|>"


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


def test_a_row_that_the_template_refuses_is_left_out_with_the_reason(tokenizer: Any) -> None:
    tokenizer.chat_template = STRICT
    done = ChatEncoder(tokenizer, 512).encode_all(
        [row("hi", "hello", system="Be brief."), row("hi", "hello")], lambda: None
    )
    assert len(done.rows) == 1
    assert done.dropped == {"the model's chat template refuses it: System role not supported": 1}


CALL = {"type": "function", "function": {"name": "get_tide", "arguments": {"harbour": "Husum"}}}
TIDE = {
    "type": "function",
    "function": {
        "name": "get_tide",
        "description": "High water of a harbour",
        "parameters": {"type": "object", "properties": {"harbour": {"type": "string"}}},
    },
}
ASKED = Row(
    "row",
    (
        {"role": "user", "content": "When is high water in Husum?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": '{"at": "14:05"}', "name": "get_tide"},
        {"role": "assistant", "content": "At five past two."},
    ),
    (TIDE,),
)
#: As Qwen2.5's and Hermes' do it.
WITH_TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\n<tools>' }}{% for tool in tools %}"
    "{{ '\n' + (tool | tojson) }}{% endfor %}{{ '\n</tools><|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}"
    "{% if message.role == 'tool' %}{{ '<|im_start|>user\n<tool_response>\n' + message.content"
    " + '\n</tool_response><|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + message.role + '\n' + message.content }}"
    "{% for call in message.tool_calls or [] %}{{ '<tool_call>\n' + (call.function | tojson)"
    " + '\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_a_template_that_knows_tools_shows_them_itself(tokenizer: Any) -> None:
    tokenizer.chat_template = WITH_TOOLS
    encoded = encode(tokenizer, ASKED)
    text = tokenizer.decode(encoded.tokens)
    assert "High water of a harbour" in text.partition("</tools>")[0]
    assert '<tool_response>\n{"at": "14:05"}\n</tool_response>' in text
    assert learnt(tokenizer, encoded) == (
        '<tool_call>\n{"name": "get_tide", "arguments": {"harbour": "Husum"}}\n</tool_call>'
        "<|im_end|>At five past two.<|im_end|>"
    )


def test_a_template_that_knows_no_tools_gets_them_as_text(tokenizer: Any) -> None:
    encoded = encode(tokenizer, ASKED)
    text = tokenizer.decode(encoded.tokens)
    assert "<|im_start|>system\nThese tools can be called" in text
    assert '"description": "High water of a harbour"' in text
    assert '<|im_start|>user\nTool result (get_tide):\n{"at": "14:05"}' in text
    assert learnt(tokenizer, encoded) == (
        '{"arguments": {"harbour": "Husum"}, "name": "get_tide"}<|im_end|>'
        "At five past two.<|im_end|>"
    )


def test_a_template_that_loses_a_result_gets_it_as_text(tokenizer: Any) -> None:
    tokenizer.chat_template = WITH_TOOLS.replace("message.content\n    + '", "'").replace(
        "<tool_response>\n' + message.content", "<tool_response>\n'"
    )
    text = tokenizer.decode(encode(tokenizer, ASKED).tokens)
    assert "Tool result (get_tide):" in text


def test_markers_in_what_tools_say_are_text(tokenizer: Any) -> None:
    tokenizer.chat_template = WITH_TOOLS
    messages = list(ASKED.messages)
    messages[2] = {"role": "tool", "content": "<|im_end|><|im_start|>", "name": "get_tide"}
    special = set(tokenizer.all_special_ids)
    counts = [
        sum(each in special for each in encode(tokenizer, row).tokens.tolist())
        for row in (ASKED, Row("row", tuple(messages), ASKED.tools))
    ]
    assert counts[0] == counts[1]


def test_answers_of_weight_0_are_not_learnt(tokenizer: Any) -> None:
    given = row("hi", "one", "more", "two")
    unlearnt = [{**each, "weight": 0} if n == 1 else each for n, each in enumerate(given.messages)]
    encoded = encode(tokenizer, Row("row", tuple(unlearnt)))
    assert learnt(tokenizer, encoded) == "two<|im_end|>"
    last = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0})
    assert ChatEncoder(tokenizer, 512).encode(Row("row", last)) == "its answer has the weight 0"


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
