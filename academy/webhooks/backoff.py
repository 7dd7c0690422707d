"""How long a delivery, or a webhook to which nobody answers, is left alone."""

from __future__ import annotations

import random

_MOST_SECONDS = 3600.0
#: A server that is back is to hear of it soon, however long it was away.
_MOST_REST_SECONDS = 300.0


def seconds_until_again(attempt: int, first_seconds: float) -> float:
    """After the failed attempt of that number: doubled each time, with jitter."""
    return _jittered(min(first_seconds * 2 ** min(attempt - 1, 30), _MOST_SECONDS))


def rest_seconds(silent: int, first_seconds: float) -> float:
    """For a webhook whose server did not answer the last `silent` requests at all."""
    return _jittered(min(first_seconds * 2 ** min(max(silent - 1, 0), 30), _MOST_REST_SECONDS))


def _jittered(seconds: float) -> float:
    # What failed together is not to come back together.
    return seconds * random.uniform(0.75, 1.25)
