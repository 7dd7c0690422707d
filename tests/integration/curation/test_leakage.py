"""What is held out is not trained on: no question with its answer, no beginning, no turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from academy.curation.curate import CurationResult, curate
from academy.curation.request import CurationRequest
from academy.curation.sources import Lesson, RunRecord, TaskRecord
from academy.curation.split.previous_splits import read_previous_splits
from academy.curation.uploads.rows import read_upload

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
Sentence = Callable[..., str]
Messages = list[dict[str, str]]
Kind = Callable[[Sentence], dict[str, Any]]
CONVERSATIONS = 24


def talk(sentence: Sentence, number: int, turns: int = 3) -> Messages:
    """A conversation that shares no word with any other."""
    said: Messages = []
    for turn in range(turns):
        at = 1000 * number + 10 * turn
        said.append({"role": "user", "content": f"What about {sentence(at)}?"})
        said.append({"role": "assistant", "content": f"It is {sentence(at + 5)}."})
    return said


def system(sentence: Sentence, number: int) -> dict[str, str]:
    return {"role": "system", "content": sentence(500_000 + number, 20)}


def other_system_messages(sentence: Sentence) -> dict[str, Any]:
    return uploaded(
        [system(sentence, 3 * number + each), *talk(sentence, number, 1)]
        for number in range(CONVERSATIONS)
        for each in range(3)
    )


def cut_turn_by_turn(sentence: Sentence) -> dict[str, Any]:
    return uploaded(
        talk(sentence, number)[:end] for number in range(CONVERSATIONS) for end in (2, 4, 6)
    )


def windows_of_a_conversation(sentence: Sentence) -> dict[str, Any]:
    return uploaded(
        talk(sentence, number, 4)[start : start + 4]
        for number in range(CONVERSATIONS)
        for start in (0, 2, 4)
    )


def other_answers_to_a_question(sentence: Sentence) -> dict[str, Any]:
    return uploaded(
        [
            *talk(sentence, number, 1)[:1],
            {"role": "assistant", "content": f"Rather {sentence(700_000 + 3 * number + each)}."},
        ]
        for number in range(CONVERSATIONS)
        for each in range(3)
    )


def the_same_from_every_source(sentence: Sentence) -> dict[str, Any]:
    talks = [talk(sentence, number, 2) for number in range(CONVERSATIONS)]
    return {
        **uploaded([system(sentence, at), *each] for at, each in enumerate(talks)),
        "tasks": [TaskRecord(f"t{at}", each, "success", NOON) for at, each in enumerate(talks)],
        "runs": [
            RunRecord(f"r{at}", each[:2], 0.9, True, NOON, task_id=f"other{at}")
            for at, each in enumerate(talks)
        ],
        "lessons": [
            Lesson(
                id=f"l{at}",
                situation=each[2]["content"],
                solution=each[3]["content"],
                tags=(),
                source="agent",
                quality=None,
                created_at=NOON,
            )
            for at, each in enumerate(talks)
        ],
    }


KINDS: tuple[Kind, ...] = (
    other_system_messages,
    cut_turn_by_turn,
    windows_of_a_conversation,
    other_answers_to_a_question,
    the_same_from_every_source,
)


def uploaded(conversations: Iterable[Messages]) -> dict[str, Any]:
    return {"uploads": [{"messages": each} for each in conversations]}


def curated(folder: Path, sources: dict[str, Any], **options: Any) -> CurationResult:
    folder.mkdir()
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in sources["uploads"]))
    request = CurationRequest(
        repositories=(),
        include_task_history=True,
        include_runs=True,
        disabled_filters=("near_duplicate", "heldout_overlap"),
        **options.pop("asked", {}),
    )
    return curate(
        request,
        **{**sources, "uploads": read_upload(file)},
        out=folder / "dataset",
        allowed_roots=[],
        **options,
    )


def rows_of(made: CurationResult, side: str) -> list[Messages]:
    lines = (made.folder / f"{side}.jsonl").read_text().splitlines()
    return [json.loads(line)["messages"] for line in lines]


def contexts(messages: Messages) -> set[tuple[str, ...]]:
    """Everything that is answered in a conversation, with what came before; system aside."""
    said = [each["content"] for each in messages if each["role"] != "system"]
    return {tuple(said[:end]) for end in range(2, len(said) + 1, 2)}


def turns(messages: Messages) -> set[tuple[str, str]]:
    said = [each["content"] for each in messages if each["role"] != "system"]
    return set(zip(said[::2], said[1::2], strict=True))


def openings(row: Messages) -> tuple[str, ...]:
    first = next(at for at, each in enumerate(row) if each["role"] == "user")
    return tuple(each["content"] for each in row[: first + 1])


def leaks(train: list[Messages], held_out: list[Messages]) -> int:
    """Held-out rows of which a training row has an answer in its context, or the opening."""
    trained = {each for row in train for each in contexts(row) | turns(row)}
    opened = {openings(row) for row in train}
    return sum(
        bool(trained & (contexts(row) | turns(row))) or openings(row) in opened for row in held_out
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_nothing_that_is_held_out_is_trained_on(
    kind: Kind, tmp_path: Path, sentence: Sentence
) -> None:
    made = curated(tmp_path / "one", kind(sentence), asked={"heldout_fraction": 0.3})
    train, held_out = rows_of(made, "train"), rows_of(made, "heldout")
    assert len(held_out) >= 3 and len(train) >= 3
    assert leaks(train, held_out) == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_nor_is_what_an_earlier_dataset_held_out(
    kind: Kind, tmp_path: Path, sentence: Sentence
) -> None:
    sources = kind(sentence)
    uploads = sources["uploads"]
    first = curated(
        tmp_path / "one",
        {**sources, "uploads": uploads[::2], "lessons": sources.get("lessons", [])[::2]},
        asked={"heldout_fraction": 0.3},
    )
    second = curated(
        tmp_path / "two",
        sources,
        asked={"heldout_fraction": 0.5, "seed": 7},
        previous=read_previous_splits([first.folder]),
    )
    assert leaks(rows_of(second, "train"), rows_of(first, "heldout")) == 0
    assert leaks(rows_of(first, "train"), rows_of(second, "heldout")) == 0


def test_a_question_that_all_rows_share_ties_none_of_them(
    tmp_path: Path, sentence: Sentence
) -> None:
    made = curated(
        tmp_path / "one",
        uploaded(
            [
                system(sentence, number),
                {"role": "user", "content": "Sum it up, please."},
                {"role": "assistant", "content": f"{sentence(800_000 + number)}."},
            ]
            for number in range(CONVERSATIONS)
        ),
        asked={"heldout_fraction": 0.3},
    )
    assert 3 <= len(rows_of(made, "heldout")) <= CONVERSATIONS // 2


def test_an_opening_that_most_rows_share_is_trained_on(tmp_path: Path, sentence: Sentence) -> None:
    for number in range(8):
        opening = {"role": "user", "content": f"Say something {number}."}
        made = curated(
            tmp_path / str(number),
            uploaded(
                [opening, {"role": "assistant", "content": f"{sentence(900_000 + each)}."}]
                for each in range(CONVERSATIONS)
            ),
            asked={"heldout_fraction": 0.5},
        )
        assert len(rows_of(made, "train")) == CONVERSATIONS


def test_short_answers_tie_nothing(tmp_path: Path, sentence: Sentence) -> None:
    thanks = [
        {"role": "user", "content": "Thank you!"},
        {"role": "assistant", "content": "You are welcome."},
    ]
    made = curated(
        tmp_path / "one",
        uploaded([*talk(sentence, number, 1), *thanks] for number in range(CONVERSATIONS)),
        asked={"heldout_fraction": 0.3},
    )
    assert 3 <= len(rows_of(made, "heldout")) <= CONVERSATIONS // 2
    assert made.statistics["groups"]["count"] == CONVERSATIONS
