"""A SIGTERM that comes before Celery listens is not lost."""

from __future__ import annotations

import signal
import threading

from workers.__main__ import signal_again
from workers.starting import once


def test_an_early_sigterm_is_sent_again_until_it_is_heard() -> None:
    asked, heard, caught = threading.Event(), threading.Event(), []

    def catch(number: int, _: object) -> None:
        caught.append(number)
        if len(caught) == 3:
            heard.set()

    before = signal.signal(signal.SIGTERM, catch)
    try:
        thread = threading.Thread(target=signal_again, args=(asked, heard), daemon=True)
        thread.start()
        asked.set()
        thread.join(timeout=30)
        assert not thread.is_alive()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught == [signal.SIGTERM] * 3


def test_a_signal_that_strikes_in_the_handler_of_another_is_left_out() -> None:
    calls: list[int] = []

    def handle(number: int, frame: object) -> None:
        calls.append(number)
        hear(number, None)

    hear = once(handle)
    hear(signal.SIGTERM, None)
    hear(signal.SIGTERM, None)
    assert calls == [signal.SIGTERM]
