"""Delivering: what changed becomes deliveries, and each is sent until it arrives or is given up.

One thread asks PostgreSQL; each request has a thread of its own, at most `AT_ONCE`. So a server
that takes its time holds up nobody else, and least of all the keeper's other duties.
"""

from __future__ import annotations

import itertools
import logging
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from academy.settings import Settings
from academy.store.engine import Session, Sessions, StoreError, open_sessions
from academy.store.webhooks import deliveries, webhooks
from academy.store.webhooks.deliveries import Claimed, Tried
from academy.webhooks import backoff, message, signing
from academy.webhooks.posting import WHOLE_SECONDS, Post

log = logging.getLogger(__name__)

#: Requests at once; of one webhook; and to webhooks to which nobody answered last time.
AT_ONCE, OF_ONE, TO_SILENT = 32, 8, 8
#: How long a claim holds: a request and the note of what came of it fit in.
CLAIM_SECONDS = 2 * WHOLE_SECONDS
#: Changes that are looked at in one transaction, and such transactions of one round.
_CHANGES_AT_ONCE, _MOST_TIMES = 500, 20
#: How often is looked for what changed; while nothing goes on that is all that is done.
_LOOK_SECONDS = 0.5
#: At the end what goes on has so long to arrive.
_END_SECONDS = 3.0
#: A server that says this will never take anything again.
_GONE = 410


class Deliverer:
    """Delivers from when it is entered until it is left; any number may do so at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._done: queue.SimpleQueue[tuple[Claimed, Tried]] = queue.SimpleQueue()
        self._going: dict[int, tuple[Claimed, Post]] = {}
        self._unsettled: list[tuple[Claimed, Tried]] = []
        self._looked_at = -math.inf
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._wake.set()
        self._thread.join(_END_SECONDS + self._settings.postgres.timeout_seconds)

    def _run(self) -> None:
        with open_sessions(self._settings, pool_size=1) as sessions:
            while not self._stopping.is_set():
                self._do(sessions, self._round)
                self._wake.wait(_LOOK_SECONDS)
                self._wake.clear()
            self._do(sessions, self._end)

    def _do(self, sessions: Sessions, what: Callable[[Sessions], None]) -> None:
        try:
            what(sessions)
        except StoreError as error:
            log.warning("Postgres failed the webhooks: %s", type(error).__name__)
        except Exception:
            # One delivery that cannot be read must not keep the others from being made.
            log.exception("a round of webhooks failed")

    def _round(self, sessions: Sessions) -> None:
        self._abort_late()
        self._settle(sessions)
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._fan_out(sessions)
        self._begin(sessions)

    def _fan_out(self, sessions: Sessions) -> None:
        with sessions() as session:
            behind = webhooks.behind(session)
        for webhook_id in behind:
            for _ in range(_MOST_TIMES):
                with sessions.begin() as session:
                    found = webhooks.fan_out(
                        session, webhook_id, message.deliveries_of, _CHANGES_AT_ONCE
                    )
                if found < _CHANGES_AT_ONCE:
                    break

    def _begin(self, sessions: Sessions) -> None:
        """Claim what is due, in turn from each webhook, and send it."""
        if len(self._going) >= AT_ONCE:
            return
        with sessions() as session:
            ready = deliveries.ready(session)
        of_each = Counter(held.webhook_id for held, _ in self._going.values())
        to_silent = sum(of_each[each.webhook_id] for each in ready if each.silent)
        for each in ready:
            room = AT_ONCE - len(self._going)
            if each.silent:
                # One request tells whether somebody answers again.
                room = min(room, 1 - of_each[each.webhook_id], TO_SILENT - to_silent)
            # Several webhooks share the room, so that none has to wait for the others' slow ones.
            room = min(room, OF_ONE - of_each[each.webhook_id])
            if room <= 0:
                continue
            claimed_at = time.monotonic()
            with sessions.begin() as session:
                claimed = deliveries.claim(
                    session, each.webhook_id, seconds=CLAIM_SECONDS, most=room
                )
            to_silent += len(claimed) if each.silent else 0
            for held in claimed:
                self._start(held, claimed_at)

    def _start(self, held: Claimed, claimed_at: float) -> None:
        body = message.body(
            event_id=held.event_id,
            type=held.type,
            subject=held.subject,
            data=held.data,
            at=held.at,
            cursor=held.cursor,
        )
        headers = signing.headers(held.event_id, int(time.time()), body, held.secrets)
        post = Post(held.url, body, headers, private=self._settings.webhooks.private)
        self._going[held.number] = held, post

        def send() -> None:
            # After a standstill the claim may be another keeper's by now.
            if time.monotonic() - claimed_at > CLAIM_SECONDS - WHOLE_SECONDS:
                tried = Tried(None, "it was not sent in time")
            else:
                tried = post.send()
            self._done.put((held, tried))
            self._wake.set()

        threading.Thread(target=send, name="webhook", daemon=True).start()

    def _abort_late(self) -> None:
        """End requests that time-outs of single steps do not: who answers byte by byte."""
        now = time.monotonic()
        for _, post in self._going.values():
            if now > post.ends_at:
                post.abort()

    def _settle(self, sessions: Sessions) -> None:
        """Note what came of the requests that ended; again in the next round if that fails."""
        while not self._done.empty():
            held, tried = self._done.get()
            self._going.pop(held.number, None)
            self._unsettled.append((held, tried))
        if not self._unsettled:
            return
        ended = sorted(self._unsettled, key=lambda each: (each[0].webhook_id, each[0].number))
        arrived = [(held, tried) for held, tried in ended if tried.error is None]
        with sessions.begin() as session:
            deliveries.lock_webhooks(session, {held.webhook_id for held, _ in ended})
            deliveries.delivered(session, arrived)
            for held, tried in ended:
                if tried.error is not None:
                    self._note_failure(session, held, tried)
            for of_one in _by_webhook(ended):
                self._note_server(session, of_one)
        self._unsettled.clear()

    def _note_failure(self, session: Session, held: Claimed, tried: Tried) -> None:
        is_late = held.age_seconds > self._settings.webhooks.hours * 3600.0
        if tried.status != _GONE and not is_late:
            first = self._settings.webhooks.retry_seconds
            seconds = backoff.seconds_until_again(held.attempt, first)
            deliveries.put_off(session, held, tried, seconds=seconds)
            return
        deliveries.give_up(session, held, tried)
        log.warning(
            "a webhook's delivery was given up: %s",
            tried.error,
            extra={"webhook": held.webhook_id, "delivery": held.number},
        )

    def _note_server(self, session: Session, of_one: list[tuple[Claimed, Tried]]) -> None:
        """What its answers, or their absence, say of a webhook's server."""
        held = of_one[0][0]
        said = [tried for _, tried in of_one if tried.status is not None]
        if said:
            is_taking = any(tried.error is None for tried in said)
            deliveries.heard(session, held.webhook_id, delivered=is_taking)
        else:
            # All that was sent at once without an answer counts as one.
            count = held.silent + 1
            rest = backoff.rest_seconds(count, self._settings.webhooks.retry_seconds)
            deliveries.silent(session, held.webhook_id, count=count, rest_seconds=rest)
        if any(tried.status == _GONE for tried in said):
            deliveries.gone(session, held.webhook_id, held.url)

    def _end(self, sessions: Sessions) -> None:
        """Let what goes on arrive; leave the rest to others at once, and cut it off.

        It may have arrived, so it may come twice; that it was cut off says nothing of its server.
        """
        until = time.monotonic() + _END_SECONDS
        while self._going and (left := until - time.monotonic()) > 0:
            self._wake.wait(left)
            self._wake.clear()
            self._settle(sessions)
        for _, post in self._going.values():
            post.abort()
        with sessions.begin() as session:
            for held, _ in self._going.values():
                deliveries.release(session, held)


def _by_webhook(
    ended: Iterable[tuple[Claimed, Tried]],
) -> Iterator[list[tuple[Claimed, Tried]]]:
    """What ended, sorted by webhook, in a list for each."""
    for _, each in itertools.groupby(ended, key=lambda pair: pair[0].webhook_id):
        yield list(each)
