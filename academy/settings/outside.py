"""What this installation tells servers of others."""

from __future__ import annotations

from dataclasses import dataclass

from academy.settings.rules import setting


@dataclass(frozen=True)
class Webhooks:
    """Telling servers of others what changes."""

    private: bool = setting(
        "ACADEMY_WEBHOOK_PRIVATE",
        False,
        "true: webhooks may lead into your own network, and there without TLS",
    )
    retry_seconds: float = setting(
        "ACADEMY_WEBHOOK_RETRY_SECONDS",
        5.0,
        "first back-off before a delivery is tried again; doubles each time up to an hour, with "
        "jitter",
        low=0.01,
        high=3600,
    )
    hours: float = setting(
        "ACADEMY_WEBHOOK_HOURS",
        24.0,
        "time after which a delivery that always failed is given up",
        low=0.001,
        high=720,
    )
