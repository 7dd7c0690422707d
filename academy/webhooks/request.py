"""What a client asks of a webhook."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from academy.webhooks.event_types import EVENT_TYPES, PATTERN, unknown
from academy.webhooks.targets import MOST_CHARACTERS

_Pattern = Annotated[str, StringConstraints(pattern=PATTERN, max_length=100)]

Url = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
EventTypes = Annotated[list[_Pattern], Field(min_length=1, max_length=50)]
Description = Annotated[str, Field(max_length=300)]

_URL = "https address that events are sent to"
_EVENT_TYPES = "types of events, or patterns such as 'job.*'; '*' is every one"


def _known(patterns: list[str] | None) -> list[str] | None:
    if nothing := unknown(patterns or []):
        raise ValueError(f"No event is called {nothing[0]!r}; there are {', '.join(EVENT_TYPES)}")
    return patterns


class WebhookRequest(BaseModel):
    """A webhook to be made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Url = Field(description=_URL)
    event_types: EventTypes = Field(default_factory=lambda: ["*"], description=_EVENT_TYPES)
    description: Description = Field("", description="what it is for")
    enabled: bool = Field(True, description="whether it is told anything")

    _types_are_known = field_validator("event_types")(_known)


class WebhookChange(BaseModel):
    """What is to be different of a webhook; what is left out, or null, stays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Url | None = Field(None, description=_URL)
    event_types: EventTypes | None = Field(None, description=_EVENT_TYPES)
    description: Description | None = Field(None, description="what it is for")
    enabled: bool | None = Field(
        None, description="one that is enabled again is told what changes from then on"
    )

    _types_are_known = field_validator("event_types")(_known)


class RotationRequest(BaseModel):
    """How a webhook gets another secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    grace_seconds: float = Field(
        86_400.0, ge=0, le=7 * 86_400, description="time for which the old secret signs as well"
    )
