"""``python -m workers.keeper [BEAT]``: keep until SIGTERM or SIGINT. Run one, two or more.

The file BEAT is touched before every duty.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path

from academy import logs
from academy.ops.ready import require_ready
from academy.settings import Settings
from academy.store.engine import open_sessions
from workers.keeper.loop import Keeper
from workers.starting import once, refused_clearly

log = logging.getLogger("workers.keeper")


def main() -> None:
    """Keep until SIGTERM or SIGINT."""
    logs.setup("keeper")
    with refused_clearly():
        settings = Settings.from_env()
        logs.setup("keeper", settings.log_level)
        require_ready(settings)
    beat = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    stopping = threading.Event()

    stop = once(lambda *_: stopping.set())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with open_sessions(settings, pool_size=2) as sessions:
        log.info("keeper started")
        Keeper(settings, sessions, beat).run(stopping)
    log.info("keeper stopped")


if __name__ == "__main__":
    main()
