"""What a client asks of a schedule."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from academy.jobs import kinds
from academy.lifecycle import JobKind
from academy.schedules import timing

#: What a schedule may be called.
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"

Missed = Literal["skip", "once"]
Overlap = Literal["allow", "skip"]


def _every(value: object) -> object:
    return None if value is None else timing.parse_every(value)


class ScheduleRequest(BaseModel):
    """When to submit which job. Exactly one of `every` and `cron` says when."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: JobKind = Field(description="kind of job to submit")
    request: dict[str, Any] = Field(
        default_factory=dict,
        max_length=100,
        description="its request, as POST /dataset or POST /train takes it",
    )
    every: Annotated[
        float | None,
        BeforeValidator(
            _every, json_schema_input_type=float | Annotated[str, Field(max_length=100)] | None
        ),
    ] = Field(None, description="interval: seconds, or a text such as '90s', '15m', '6h', '1d'")
    cron: str | None = Field(
        None, max_length=200, description="minute hour day-of-month month day-of-week"
    )
    time_zone: str = Field(
        "UTC", max_length=64, description="IANA zone whose wall clock `cron` follows"
    )
    missed: Missed = Field(
        "once",
        description="what becomes of times at which no keeper ran: 'once' submits one job for all "
        "of them, 'skip' none",
    )
    grace_seconds: float = Field(
        300.0, ge=1, le=86_400, description="lateness up to which a time counts as kept"
    )
    overlap: Overlap = Field(
        "allow",
        description="what becomes of a time at which the schedule's last job is not over: 'allow' "
        "submits another one, 'skip' none",
    )
    only_if_new: bool = Field(
        False,
        description="for a training: submit it only if no training of its role and base model has "
        "finished, waits or goes on for the dataset that it would take",
    )
    enabled: bool = Field(True, description="whether it submits anything")

    @field_validator("cron")
    @classmethod
    def _cron_is_one(cls, value: str | None) -> str | None:
        return None if value is None else timing.parse_cron(value)

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        return timing.parse_zone(value)

    @model_validator(mode="after")
    def _one_timing(self) -> Self:
        if (self.every is None) == (self.cron is None):
            raise ValueError(
                "Give exactly one of 'every' and 'cron': every is "
                f"{timing.EVERY_ALLOWED}; cron is {timing.CRON_ALLOWED}"
            )
        return self

    @model_validator(mode="after")
    def _newness_can_be_told(self) -> Self:
        if self.only_if_new and kinds.of(self.kind).nothing_new is None:
            able = kinds.names(each for each in kinds.every() if each.nothing_new is not None)
            raise ValueError(
                f"'only_if_new' is for the kind {' or '.join(map(repr, able))}, not for"
                f" '{self.kind}'"
            )
        return self

    @property
    def timing(self) -> timing.Timing:
        """When it is due."""
        return timing.Timing(self.every, self.cron, self.time_zone)
