"""Scored runs and the signals that come after them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from academy.api.data.lessons_shapes import MessageSent, RowId, content_id
from academy.curation.reward import reward_of
from academy.store.data.tables import Run
from academy.web.paging import PageQuery
from academy.web.shapes import Sent, Shown, exactly_one_of, one_of

_Reward = Field(None, ge=0, le=1, description="how good it was, from 0 to 1")


#: What validators check and say in words, for the document.
_CONTRADICTION: dict[str, Any] = {
    "required": ["tests_present", "tests_passed"],
    "properties": {"tests_present": {"const": False}, "tests_passed": {"const": True}},
}


class SignalsSent(Sent):
    """What is known of how a run went; what is left out is not known."""

    model_config = ConfigDict(json_schema_extra={"not": _CONTRADICTION})

    tests_present: bool | None = Field(None, description="whether there were tests to run")
    tests_passed: bool | None = Field(None, description="whether all tests passed")
    compiled: bool | None = Field(None, description="whether the result compiled or loaded")
    accepted: bool | None = Field(None, description="whether a person accepted the result")
    score: float | None = Field(None, ge=0, le=1, description="a judge's score, from 0 to 1")
    cost: float | None = Field(None, ge=0, description="what the run cost, in your own unit")
    seconds: float | None = Field(None, ge=0, description="how long the run took")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.tests_passed and self.tests_present is False:
            raise ValueError("tests_passed cannot be true where tests_present is false")
        return self

    def known(self) -> dict[str, Any]:
        """The signals that were given."""
        return self.model_dump(mode="json", exclude_none=True)


class RunSent(Sent):
    """A run: what was asked, what was answered, and how good that was."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of("prompt", "messages"))

    id: RowId | None = Field(
        None, description="your own id; left out: made from the content, so re-sending is harmless"
    )
    prompt: str | None = Field(
        None, min_length=1, max_length=200_000, description="what was asked, or else 'messages'"
    )
    messages: tuple[MessageSent, ...] | None = Field(
        None, min_length=1, max_length=1000, description="the conversation before the answer"
    )
    answer: str = Field(max_length=200_000, description="what the agent answered")
    reward: float | None = _Reward
    signals: SignalsSent | None = Field(None, description="what is known of how it went")
    source: str | None = Field(None, max_length=200, description="where it comes from")
    task_id: RowId | None = Field(None, description="the task that it was an attempt at")

    @model_validator(mode="after")
    def _asks_once(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("exactly one of 'prompt' and 'messages' is needed")
        return self

    @field_validator("messages")
    @classmethod
    def _ends_with_a_question(
        cls, messages: tuple[MessageSent, ...] | None
    ) -> tuple[MessageSent, ...] | None:
        if messages is not None and messages[-1].role == "assistant":
            raise ValueError("the last message is the assistant's; its text belongs into 'answer'")
        return messages

    def row(self) -> dict[str, Any]:
        """The columns of the run's row."""
        asked = (
            [{"role": "user", "content": self.prompt}]
            if self.messages is None
            else [each.model_dump(mode="json") for each in self.messages]
        )
        messages = [*asked, {"role": "assistant", "content": self.answer}]
        content = [messages, self.task_id, self.source]
        return {
            "id": self.id or content_id("run", content),
            "messages": messages,
            "reward": self.reward,
            "signals": {} if self.signals is None else self.signals.known(),
            "source": self.source,
            "task_id": self.task_id,
        }


class MoreSignals(SignalsSent):
    """Signals that came after the run was recorded."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": _CONTRADICTION,
            **one_of(*SignalsSent.model_fields, "reward"),
        }
    )

    reward: float | None = _Reward

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("no signal is given")
        return self

    def known(self) -> dict[str, Any]:
        """The signals that were given; the reward is a column of its own."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"reward"})


class RunShown(Shown):
    """A recorded run. `reward` is the one that counts: given, or made of the signals."""

    id: str
    messages: list[dict[str, Any]]
    reward: float | None
    signals: dict[str, Any]
    source: str | None
    task_id: str | None
    created_at: datetime


class RunsQuery(PageQuery):
    """Which runs."""

    source: str | None = Field(None, max_length=200, description="only runs from there")
    task_id: str | None = Field(None, max_length=128, description="only attempts at this task")


class RunsPage(Shown):
    """A part of the runs, newest first."""

    count: int
    runs: list[RunShown]
    has_more: bool
    next: str | None


def run_body(run: Run) -> dict[str, Any]:
    """The fields of `RunShown`."""
    return {
        "id": run.id,
        "messages": run.messages,
        "reward": reward_of(run.reward, run.signals),
        "signals": run.signals,
        "source": run.source,
        "task_id": run.task_id,
        "created_at": run.created_at,
    }
