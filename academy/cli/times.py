"""Times as a person reads them: local, with the name of their zone. ``--json`` keeps UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def local_time(text: str | None, *, seconds: bool = False) -> str:
    """An ISO 8601 time as ``2026-12-01 01:37 CET``, or with its seconds; empty for none.

    The zone is that of this machine (or of TZ) at that time of the year. A time without a zone is
    UTC.
    """
    if not text:
        return ""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z" if seconds else "%Y-%m-%d %H:%M %Z")


def clock(seconds: float) -> str:
    """A duration: ``3:20`` or ``1:02:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
