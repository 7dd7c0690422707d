"""Sends events to all watchers of this process: work for each line, and not for each watcher.

One greenlet makes a round every tick. Watchers of a feed that are at the same place get the same
bytes, encoded once for each kind of connection; a watcher costs a cursor and one send. Who has not
taken the last batch yet is passed over, and gets a larger one next time; who fell behind what the
feed holds gets pages that are read once for all who need them.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import Any

import gevent
from gevent.event import Event as Signal

from academy.access.keys import KeyRevoked, revoked_of
from academy.errors import AcademyError
from academy.events.event import Event, EventId
from academy.events.feed import Feed
from academy.events.hub import Hub
from academy.settings import Settings
from academy.store.engine import Sessions, StoreError, autocommit
from academy.web.live.encodings import (
    GOING_AWAY,
    NORMAL,
    TRY_AGAIN,
    UNAUTHORIZED,
    Encoding,
    away,
)
from academy.web.live.places import Places
from academy.web.live.watcher import Stage, Watcher

logger = logging.getLogger(__name__)

#: Rounds rest as long as they took, which leaves others half of the loop, but no longer.
LONGEST_TICK_SECONDS = 0.5
#: A round lets others have the loop after so long, and for so long: it is a timer, since gevent
#: runs callbacks, and would go on with the round, before it looks who has sent something.
_SLICE_SECONDS, _PAUSE_SECONDS = 0.003, 0.001
#: A watcher that takes nothing of what is sent for so long is told to come again.
STUCK_SECONDS = 60.0
#: How long the peer may take to close after it was told to, and to take what is left before that.
CLOSING_SECONDS, TAKING_SECONDS = 5.0, 30.0
#: Watchers that were refused and have not closed yet; more of them are cut off at once.
MOST_REFUSED = 500
#: Between two looks at watchers that are quiet, stuck, or closing.
_LOOK_SECONDS = 0.5
#: How long a stream goes on at most after its key was revoked.
KEYS_SECONDS = 5.0
#: Pages of a feed's past that are kept for those who come to the same place.
_PAGES = 8


class _Line:
    """A feed with its watchers."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.watchers: set[Watcher] = set()
        #: Whether anything may have to be sent.
        self.is_due = True
        #: Pages of what the feed does not reach back to, by the cursor before them.
        self.pages: OrderedDict[EventId, list[Event]] = OrderedDict()
        self.fetching: set[EventId] = set()


class Switchboard:
    """All watchers of a process. Everything happens in gevent's one thread."""

    def __init__(self, settings: Settings, sessions: Sessions, hub: Hub) -> None:
        self.places = Places(settings)
        self._settings = settings
        self._sessions = sessions
        self._hub = hub
        hub.on_change = self._on_change
        self._lines: dict[str, _Line] = {}
        self._line_of: dict[Watcher, _Line | None] = {}
        self._refused: set[Watcher] = set()
        self._told: deque[Watcher] = deque()
        self._signal: Any = Signal()
        self._greenlet: Any = None
        self._stopping = False
        self._looked_at = 0.0
        self._asked_at = time.monotonic()

    def __len__(self) -> int:
        """Watchers that are there, without those that were refused or are closing."""
        return len(self.places)

    @property
    def followed(self) -> list[Feed]:
        """The feeds that somebody watches here, as the hub follows them."""
        return self._hub.feeds

    def connect(self, watcher: Watcher, feed: Feed) -> None:
        """Send the feed's events after the watcher's cursor, for as long as both are there.

        The hub counted the watcher in; from here on the switchboard counts it out.
        """
        line = self._lines.get(feed.name)
        if line is None:
            line = self._lines[feed.name] = _Line(feed)
        line.watchers.add(watcher)
        line.is_due = True
        self._line_of[watcher] = line
        self._begin()
        if self._stopping:
            watcher.end(GOING_AWAY, _STOPPING, time.monotonic())

    def dismiss(self, watcher: Watcher, code: int, reason: str) -> None:
        """See to the end of a watcher that gets nothing."""
        self._line_of[watcher] = None
        self._refused.add(watcher)
        self._begin()
        watcher.end(code, reason, time.monotonic())
        if len(self._refused) > MOST_REFUSED:
            watcher.cut()

    def tell(self, watcher: Watcher) -> None:
        """A watcher is gone, or takes more again; never waits."""
        self._told.append(watcher)
        self._signal.set()

    def stop(self) -> int:
        """Tell every watcher to connect again, and take no more; how many there were."""
        self._stopping = True
        now, open_now = time.monotonic(), len(self._line_of)
        for watcher in list(self._line_of):
            watcher.end(GOING_AWAY, _STOPPING, now)
        self._signal.set()
        return open_now

    def wait_until_empty(self, seconds: float) -> None:
        """Give the watchers a while to close, and cut those off that do not."""
        until = time.monotonic() + seconds
        while self._line_of and time.monotonic() < until:
            gevent.sleep(0.02)
        for watcher in list(self._line_of):
            watcher.cut()

    def _begin(self) -> None:
        if self._greenlet is None or self._greenlet.dead:
            self._greenlet = gevent.spawn(self._run)
        self._signal.set()

    def _on_change(self, feed: Feed) -> None:
        line = self._lines.get(feed.name)
        if line is not None:
            line.is_due = True
            self._signal.set()

    def _run(self) -> None:
        tick = self._settings.events.tick_seconds
        while self._line_of:
            self._signal.wait(_LOOK_SECONDS)
            self._signal.clear()
            began = time.monotonic()
            try:
                self._round(began)
            except Exception:
                # Nobody else sends to the others, and one odd event is no reason to stop.
                logger.exception("A round of events failed.")
            took = time.monotonic() - began
            gevent.sleep(max(tick, min(took, LONGEST_TICK_SECONDS)))

    def _round(self, now: float) -> None:
        self._settle_told()
        for line in list(self._lines.values()):
            if line.is_due:
                line.is_due = False
                self._serve(line)
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._look()
        if now - self._asked_at >= KEYS_SECONDS:
            self._asked_at = now
            gevent.spawn(self._end_revoked)

    def _settle_told(self) -> None:
        while self._told:
            watcher = self._told.popleft()
            line = self._line_of.get(watcher)
            if watcher.stage is Stage.OPEN:
                if line is not None:
                    line.is_due = True
                continue
            if watcher.stage is Stage.GONE:
                self._line_of.pop(watcher, None)
                self._refused.discard(watcher)
            elif watcher in self._line_of:
                self._line_of[watcher] = None
            if watcher.place is not None:
                self.places.give_back(watcher.place)
                watcher.place = None
            if line is not None:
                self._take_off(line, watcher)

    def _take_off(self, line: _Line, watcher: Watcher) -> None:
        line.watchers.discard(watcher)
        self._hub.leave(line.feed)
        if not line.watchers and self._lines.get(line.feed.name) is line:
            del self._lines[line.feed.name]

    def _serve(self, line: _Line) -> None:
        """Send everybody who is ready the next batch."""
        at: defaultdict[EventId, list[Watcher]] = defaultdict(list)
        for watcher in line.watchers:
            if watcher.is_ready:
                at[watcher.cursor].append(watcher)
        for cursor, watchers in at.items():
            batch = self._batch(line, cursor)
            if batch:
                self._send(watchers, batch)
                if not batch[-1].is_last and batch[-1].id < line.feed.last:
                    line.is_due = True
                    self._signal.set()
            elif batch is not None and line.feed.over and cursor >= line.feed.last:
                self._end(watchers, NORMAL, _OVER)

    def _batch(self, line: _Line, cursor: EventId) -> list[Event] | None:
        """What comes after the cursor; None while it is being read."""
        batch = line.feed.after(cursor)
        if batch is not None:
            return batch
        page = line.pages.get(cursor)
        if page is None and cursor not in line.fetching:
            line.fetching.add(cursor)
            gevent.spawn(self._fetch, line, cursor)
        return page

    def _fetch(self, line: _Line, cursor: EventId) -> None:
        """Read a page for all who are at the cursor."""
        try:
            page = self._hub.fetch(line.feed, cursor)
        except (StoreError, AcademyError) as error:
            logger.warning("Watchers are told to come again: %s", type(error).__name__)
            for watcher in list(line.watchers):
                if watcher.cursor == cursor:
                    watcher.end(TRY_AGAIN, away(error), time.monotonic())
            return
        finally:
            line.fetching.discard(cursor)
        if page:
            line.pages[cursor] = page
            while len(line.pages) > _PAGES:
                line.pages.popitem(last=False)
        line.is_due = True
        self._signal.set()

    def _send(self, watchers: Iterable[Watcher], batch: list[Event]) -> None:
        made: dict[Encoding, bytes] = {}
        last, is_over = batch[-1].id, batch[-1].is_last
        now = since = time.monotonic()
        for watcher in watchers:
            if not watcher.is_ready:
                continue  # it changed while others had the loop
            encoding = watcher.encoding
            data = made.get(encoding)
            if data is None:
                data = made[encoding] = encoding.events(batch)
            watcher.send(data, now)
            watcher.cursor = last
            if is_over:
                watcher.end(NORMAL, _OVER, now)
            now = time.monotonic()
            if now - since > _SLICE_SECONDS:
                gevent.sleep(_PAUSE_SECONDS)
                now = since = time.monotonic()

    def _end_revoked(self) -> None:
        """End the streams whose keys were revoked since they began."""
        try:
            with autocommit(self._sessions) as session:
                revoked = revoked_of(session, self.places.keys)
        except StoreError as error:
            logger.warning("It is not known which keys were revoked: %s", type(error).__name__)
            return
        if revoked:
            places = ((watcher, watcher.place) for watcher in list(self._line_of))
            gone = [watcher for watcher, place in places if place and place.key_id in revoked]
            self._end(gone, UNAUTHORIZED, _REVOKED)

    def _end(self, watchers: Iterable[Watcher], code: int, reason: str) -> None:
        now = time.monotonic()
        for watcher in watchers:
            watcher.end(code, reason, now)

    def _look(self) -> None:
        """Ping who is quiet; cut off who is stuck, silent, or does not close."""
        ping_seconds = self._settings.events.ping_seconds
        now = since = time.monotonic()
        for watcher in list(self._line_of):
            if watcher.stage is Stage.CLOSING:
                quiet_since = max(watcher.closing_since or now, watcher.took_at)
                if now - quiet_since > (TAKING_SECONDS if watcher.has_more else CLOSING_SECONDS):
                    watcher.cut()
            elif not watcher.is_ready:
                if watcher.stage is Stage.OPEN and now - watcher.took_at > STUCK_SECONDS:
                    watcher.end(TRY_AGAIN, _STUCK, now)
            elif watcher.pinged_at is not None:
                if now - watcher.pinged_at > ping_seconds:
                    watcher.end(TRY_AGAIN, _SILENT, now)
            elif now - watcher.sent_at > ping_seconds:
                watcher.ping(now)
            if time.monotonic() - since > _SLICE_SECONDS:
                gevent.sleep(_PAUSE_SECONDS)
                now = since = time.monotonic()


_OVER = "the job is over"
_STOPPING = "the server is stopping; connect again"
_REVOKED = f"{KeyRevoked.code}: the key of this stream was revoked"
_SILENT = "a ping was not answered; connect again with the last id"
_STUCK = "nothing was read for too long; connect again with the last id"
