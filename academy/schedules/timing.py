"""When a schedule is due: every so many seconds, or by a cron expression in a time zone.

A cron expression follows the wall clock of its zone, as Debian's cron does (`cronsim`):

- A fixed time that the clock jumps over (spring) is due once, right after the gap.
- A fixed time that the clock shows twice (autumn) is due once, the first time.
- An expression whose minute or hour begins with ``*`` follows every minute that really passes: it
  is due in both of the doubled hours, and not at a time that does not exist.

An interval knows no wall clock: the next time is the last one and the interval.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from academy.errors import AcademyError

MIN_SECONDS, MAX_SECONDS = 1.0, 366 * 86400.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_INTERVAL = re.compile(r"(?:\d{1,9}[smhdw])+")
EVERY_ALLOWED = (
    "seconds from 1 to 31622400, or a text of numbers with s, m, h, d or w, such as '6h' or '1h30m'"
)
CRON_ALLOWED = (
    "five fields: minute (0-59), hour (0-23), day of month (1-31), month (1-12),"
    " day of week (0-7, Sunday is 0 and 7), such as '30 2 * * 1-5'"
)
ZONE_ALLOWED = "an IANA name, such as 'Europe/Warsaw' or 'UTC'"


class NeverDue(AcademyError):
    """The cron expression {cron!r} is not due once in fifty years."""

    code = "never_due"
    status = 422
    next_step = "Correct the schedule's cron expression and enable it again."


@dataclass(frozen=True)
class Timing:
    """Either an interval in seconds or a cron expression; exactly one of them is set."""

    every_seconds: float | None
    cron: str | None
    time_zone: str = "UTC"

    def after(self, moment: datetime, *, due: datetime) -> datetime:
        """The first due time strictly after `moment`; `due` is a due time that intervals keep step
        with. All times are aware, the answer is in UTC. Raises `NeverDue`.
        """
        if self.every_seconds is not None:
            passed = (moment - due).total_seconds()
            steps = max(0, math.floor(passed / self.every_seconds) + 1)
            found = due + timedelta(seconds=steps * self.every_seconds)
            # Rounding to microseconds may land on the moment itself.
            return found if found > moment else found + timedelta(seconds=self.every_seconds)
        return _next_of_cron(self.cron or "", zone(self.time_zone), moment)


def parse_every(value: object) -> float:
    """An interval in seconds from a number or a text such as ``6h``. Raises `ValueError`."""
    seconds: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and len(value) <= 100 and _INTERVAL.fullmatch(value):
        parts = re.findall(r"(\d+)([smhdw])", value)
        seconds = float(sum(int(number) * _UNITS[unit] for number, unit in parts))
    if seconds is None or not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise ValueError(f"it must be {EVERY_ALLOWED}")
    return seconds


def parse_cron(text: str) -> str:
    """The expression with single spaces. Raises `ValueError` if it is none, or is never due."""
    parts = text.split()
    # cronsim knows a field of seconds too, but a keeper looks only every few seconds.
    if len(parts) != 5:
        raise ValueError(f"it has {len(parts)} fields, but must have {CRON_ALLOWED}")
    cron = " ".join(parts)
    try:
        _next_of_cron(cron, UTC, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        found = str(error)
        raise ValueError(f"{found[:1].lower()}{found[1:]}; it must be {CRON_ALLOWED}") from None
    except NeverDue:
        raise ValueError("no day in the next fifty years matches it") from None
    return cron


def parse_zone(name: str) -> str:
    """The zone's name. Raises `ValueError` for one that is not in the IANA data base."""
    if name not in _zones():
        close = difflib.get_close_matches(name, _zones(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"it must be {ZONE_ALLOWED}{hint}")
    return name


def zone(name: str) -> tzinfo:
    """The zone of a name that `parse_zone` accepted."""
    return UTC if name == "UTC" else ZoneInfo(name)


def _next_of_cron(cron: str, where: tzinfo, moment: datetime) -> datetime:
    # In a doubled hour cronsim may name the first of the two, which is past by then; the one after
    # that is meant.
    for found in CronSim(cron, moment.astimezone(where)):
        if found.astimezone(UTC) > moment:
            return found.astimezone(UTC)
    raise NeverDue(cron=cron)


@cache
def _zones() -> frozenset[str]:
    # "localtime" is whatever the host was set to, so it would differ between hosts.
    return frozenset(available_timezones() - {"localtime"})
