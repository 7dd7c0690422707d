"""Celery's configuration reads the broker's address when it is first imported."""

from __future__ import annotations

import os

os.environ.setdefault("ACADEMY_REDIS_URL", "redis://127.0.0.1:1/0")  # each test names its own
