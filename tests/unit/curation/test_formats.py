"""A row keeps its whole meaning in each format."""

from __future__ import annotations

from typing import Any

import pytest

from academy.curation.dataset.formats import in_format
from academy.curation.errors import NotPairs

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Two?"},
    {"role": "user", "content": "Or three?"},
    {"role": "assistant", "content": "Three."},
]


def test_alpaca_keeps_earlier_turns_and_the_system_message() -> None:
    assert in_format({"messages": TURNS}, "alpaca") == {
        "instruction": "Or three?",
        "input": "",
        "output": "Three.",
        "system": "Be brief.",
        "history": [["One?", "Yes."], ["Two?", ""]],
    }


def test_alpaca_splits_a_commit_into_instruction_and_input() -> None:
    prompt = "Write a commit message for this change:\n\n--- a/x\n+++ b/x"
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": "Do it"}]
    assert in_format({"messages": messages}, "alpaca") == {
        "instruction": "Write a commit message for this change:",
        "input": "--- a/x\n+++ b/x",
        "output": "Do it",
    }


def test_sharegpt_names_the_speakers() -> None:
    speakers = [
        each["from"] for each in in_format({"messages": TURNS}, "sharegpt")["conversations"]
    ]
    assert speakers == ["system", "human", "gpt", "human", "human", "gpt"]


def test_prompt_and_completion_are_messages() -> None:
    row = in_format({"messages": TURNS}, "prompt-completion")
    assert row == {"prompt": TURNS[:-1], "completion": TURNS[-1:]}
    assert in_format({"messages": TURNS}, "openai") == {"messages": TURNS}


PAIR = {"id": "p", "messages": TURNS[:-1], "chosen": "Three.", "rejected": "No."}


def test_a_pair_is_written_as_trl_reads_preferences() -> None:
    assert in_format(PAIR, "preference") == {
        "prompt": TURNS[:-1],
        "chosen": [{"role": "assistant", "content": "Three."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }


@pytest.mark.parametrize("format", ["alpaca", "sharegpt", "openai", "prompt-completion"])
def test_every_other_format_has_the_chosen_answer_of_a_pair(format: Any) -> None:
    assert in_format(PAIR, format) == in_format({"messages": TURNS}, format)


def test_a_row_that_is_no_pair_is_refused_as_one() -> None:
    with pytest.raises(NotPairs, match="'p' has no rejected answer"):
        in_format({"id": "p", "messages": TURNS}, "preference")
