"""Lessons and finished conversations."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from academy.web.paging import PageQuery
from academy.web.shapes import Done, Sent, Shown

Tag = Annotated[str, Field(min_length=1, max_length=100)]
RowId = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\w.:\-]+$")]

#: What validators check and say in words, for the document.
_SAYS_SOMETHING: dict[str, Any] = {"pattern": r"\S"}
_HAS_AN_ANSWER: dict[str, Any] = {
    "contains": {"properties": {"role": {"const": "assistant"}, "content": _SAYS_SOMETHING}}
}


class LessonSent(Sent):
    """A situation and what solved it."""

    id: RowId | None = Field(
        None, description="your own id; left out: made from the content, so re-sending is harmless"
    )
    situation: str = Field(
        min_length=1,
        max_length=200_000,
        description="what was asked or broken",
        json_schema_extra=_SAYS_SOMETHING,
    )
    solution: str = Field(
        min_length=1,
        max_length=200_000,
        description="what solved it",
        json_schema_extra=_SAYS_SOMETHING,
    )
    tags: tuple[Tag, ...] = Field((), max_length=50, description="words to find it by")
    source: str | None = Field(None, max_length=200, description="where it comes from")
    quality: float | None = Field(
        None, ge=0, le=1, description="how good it is, if somebody judged"
    )

    @field_validator("situation", "solution")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("it holds only white space")
        return text

    def row(self) -> dict[str, Any]:
        """The columns of the lesson's row."""
        content = [self.situation, self.solution]
        values = self.model_dump(mode="json")
        return {**values, "id": self.id or content_id("lesson", content)}


class MessageSent(Sent):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = Field(max_length=200_000)


class TaskSent(Sent):
    """A finished conversation and how it ended."""

    id: RowId | None = Field(
        None, description="your own id; left out: made from the content, so re-sending is harmless"
    )
    messages: tuple[MessageSent, ...] = Field(
        min_length=2, max_length=1000, json_schema_extra=_HAS_AN_ANSWER
    )
    outcome: str = Field(
        min_length=1,
        max_length=100,
        description="how it ended; 'success', 'completed', 'done', 'ok' and 'accepted' are used "
        "for training, anything else is not",
    )
    tags: tuple[Tag, ...] = Field((), max_length=50, description="words to find it by")

    @field_validator("messages")
    @classmethod
    def _has_an_answer(cls, messages: tuple[MessageSent, ...]) -> tuple[MessageSent, ...]:
        if not any(each.role == "assistant" and each.content.strip() for each in messages):
            raise ValueError("no message is an answer of the assistant")
        return messages

    def row(self) -> dict[str, Any]:
        """The columns of the conversation's row."""
        values = self.model_dump(mode="json")
        return {**values, "id": self.id or content_id("task", values["messages"])}


class Recorded(Done):
    """What became of recorded rows."""

    received: int = Field(description="rows in the request")
    added: int = Field(description="rows that were new")
    known: int = Field(description="rows that were there before, or twice in the request")
    ids: list[str] = Field(description="the rows' ids, in the order of the request")


class Forgotten(Done):
    """A lesson, a conversation or a dataset is deleted."""

    id: str


class LessonShown(Shown):
    """A recorded lesson."""

    id: str
    situation: str
    solution: str
    tags: list[str]
    source: str | None
    quality: float | None
    created_at: datetime


class LessonsQuery(PageQuery):
    """Which lessons."""

    tag: str | None = Field(None, max_length=100, description="only lessons with this tag")
    source: str | None = Field(None, max_length=200, description="only lessons from there")


class LessonsPage(Shown):
    """A part of the lessons, newest first."""

    count: int
    lessons: list[LessonShown]
    has_more: bool
    next: str | None


class LessonStatistics(Shown):
    """How many lessons and conversations there are."""

    total_lessons: int
    by_source: dict[str, int]
    by_tag: dict[str, int]
    tasks: dict[str, int]


def content_id(kind: str, content: Any) -> str:
    """An id that equal content always gets."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return f"{kind}_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
