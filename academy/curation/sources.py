"""What curation reads, and the row that it makes of each: lessons, conversations, scored runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from academy.basemodels.conversation import text_of


@dataclass(frozen=True)
class Lesson:
    """A situation and the solution that worked, as an agent recorded it.

    `quality` lies in 0..1, or is None where nobody judged it. `created_at` without a time zone
    is read as UTC.
    """

    id: str
    situation: str
    solution: str
    tags: Sequence[str]
    source: str
    quality: float | None
    created_at: datetime


@dataclass(frozen=True)
class TaskRecord:
    """A conversation with the orchestrator; `messages` are ``{"role", "content"}`` mappings."""

    id: str
    messages: Sequence[Mapping[str, str]]
    outcome: str
    created_at: datetime


@dataclass(frozen=True)
class RunRecord:
    """A run that was scored.

    `reward` lies in 0..1, or is None where nobody scored it; `tests_passed` is None where none
    ran; `task_id` names the task that it was an attempt at, if there is one.
    """

    id: str
    messages: Sequence[Mapping[str, str]]
    reward: float | None
    tests_passed: bool | None
    created_at: datetime
    task_id: str | None = None


@dataclass(frozen=True)
class Row:
    """A training row on its way through the pipeline.

    `messages` and `tools` are as in `academy.basemodels.conversation`; an answer of ``weight`` 0 is
    not learnt. `group` is what the split must not tear apart, `time` (seconds since 1970) orders
    rows, and `touched` names each rule that changed the text. A preference pair has the answer that
    was `rejected` beside its last message, the chosen one. `records` says how many records of its
    source it was made of.
    """

    id: str
    messages: tuple[dict[str, Any], ...]
    source: str
    group: str
    time: int
    provenance: dict[str, Any] = field(default_factory=dict)
    touched: tuple[str, ...] = ()
    rejected: str | None = None
    records: int = 1
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def prompt(self) -> str:
        """Everything before the answer, system message included."""
        return "\n".join(text_of(each) for each in self.messages[:-1])

    @property
    def answer(self) -> str:
        """The last message, which is what the model learns to say."""
        return text_of(self.messages[-1]) if self.messages else ""


def row_of_lesson(lesson: Lesson) -> Row:
    """One row; lessons about the same situation share a split group, whatever they answer."""
    situation, solution = clean(lesson.situation), clean(lesson.solution)
    return Row(
        id=f"lesson:{lesson.id}",
        messages=(
            {"role": "user", "content": situation},
            {"role": "assistant", "content": solution},
        ),
        source="lesson",
        group=f"lesson:{fingerprint(situation)}",
        time=seconds(lesson.created_at),
        provenance={
            "lesson_id": lesson.id,
            "tags": sorted(set(lesson.tags)),
            "origin": lesson.source,
        },
    )


def row_of_task(task: TaskRecord) -> Row:
    """One row that ends with the last answer; the conversation is its own split group."""
    return Row(
        id=f"task:{task.id}",
        messages=_until_last_answer(task.messages),
        source="task",
        group=f"task:{task.id}",
        time=seconds(task.created_at),
        provenance={"task_id": task.id, "outcome": task.outcome},
    )


def row_of_run(run: RunRecord) -> Row:
    """One row; runs on the same task, or without a task with the same opening, share a group."""
    messages = _until_last_answer(run.messages)
    return Row(
        id=f"run:{run.id}",
        messages=messages,
        source="run",
        group=f"task:{run.task_id}" if run.task_id else f"run:{fingerprint(opening_of(messages))}",
        time=seconds(run.created_at),
        provenance={"run_id": run.id, "reward": run.reward, "tests_passed": run.tests_passed},
    )


def _until_last_answer(messages: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], ...]:
    kept = [{"role": str(m["role"]), "content": clean(str(m["content"]))} for m in messages]
    while kept and kept[-1]["role"] != "assistant":
        kept.pop()
    return tuple(kept)


def clean(text: str) -> str:
    """Normalise: line ends become ``\\n``; NUL, unpaired surrogates and the last blanks go.

    Blanks at the beginning stay: they are what a function's body is indented by.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("\0", "")
    if not text.isascii():
        text = text.encode("utf-8", "ignore").decode("utf-8")
    return text.rstrip()


def comparable(text: str) -> str:
    """The text without blanks that say nothing: those at ends of lines, and empty lines around it.

    Indentation stays, for it tells two programs apart.
    """
    return "\n".join(map(str.rstrip, text.split("\n"))).strip("\n")


def opening_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """What a conversation begins with: the system message, and the user's first message.

    Rows with the same one share a split group, whatever is answered and however long they go on: a
    conversation that was cut after each of its answers, above all.
    """
    said = [str(each["content"]) for each in messages if each["role"] == "system"]
    asked = (str(each["content"]) for each in messages if each["role"] == "user")
    return "\n".join([*said, next(asked, "")])


def fingerprint(text: str) -> str:
    """64 bits of BLAKE2b over the text with its white space collapsed and its case folded."""
    folded = " ".join(text.split()).casefold()
    return blake2b(folded.encode("utf-8", "ignore"), digest_size=8).hexdigest()


def seconds(moment: datetime) -> int:
    """Whole seconds since 1970; a naive moment is read as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())
