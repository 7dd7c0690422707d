"""The two forms of the harness: short (CI, everything shortened) and long (production values)."""

from __future__ import annotations

import os
from dataclasses import dataclass

from academy.settings import Settings, places

#: What no setting shortens: starting a Python process, on a machine that does other things too.
START_SECONDS = 4.0

#: Ten duties take a busy core longer than a quarter of a second.
_SHORTEST_SWEEP_SECONDS = 0.5

_SCALED = (
    "lease_seconds",
    "heartbeat_seconds",
    "keeper_seconds",
    "hint_seconds",
    "cancel_grace_seconds",
    "pause_grace_seconds",
    "blind_seconds",
    "retry_seconds",
    "archive_seconds",
)


@dataclass(frozen=True)
class Form:
    """How often each fault is injected, and by what every interval is divided."""

    name: str
    scale: float
    times: int

    def rounds(self, in_ci: int) -> int:
        """How often to inject a fault that CI injects `in_ci` times."""
        asked = os.environ.get("FAULT_ROUNDS")
        return int(asked) if asked else in_ci * self.times

    def limit(self, seconds: float) -> float:
        """The table's limit in this form. Process starts do not shrink, so they are added."""
        return seconds / self.scale + (START_SECONDS if self.scale > 1 else 0.0)

    def seconds(self, seconds: float) -> float:
        """A duration of a fault in this form."""
        return seconds / self.scale

    def settings(self, settings: Settings) -> Settings:
        """Production values of every interval, divided by the scale."""
        rules = [place.rule for place in places() if place.rule.key in _SCALED]
        scaled = {rule.key: rule.default / self.scale for rule in rules}
        scaled["keeper_seconds"] = max(scaled["keeper_seconds"], _SHORTEST_SWEEP_SECONDS)
        return settings.changed(**scaled)


SHORT = Form("short", scale=20.0, times=1)
LONG = Form("long", scale=1.0, times=10)


def chosen() -> Form:
    """The form that the environment variable FAULTS names: ``short`` (the default) or ``long``."""
    name = os.environ.get("FAULTS", "short")
    found = {form.name: form for form in (SHORT, LONG)}.get(name)
    if found is None:
        raise ValueError(f"FAULTS={name!r}; it is 'short' or 'long'")
    return found
