"""What changes in an installation (jobs, adapters, aliases, …), as a source of events."""

from __future__ import annotations

from academy.events.event import START, Event, EventId, timestamp
from academy.events.replay import Page
from academy.events.sources import FutureCursor
from academy.store.changes import changes
from academy.store.changes.tables import Change
from academy.store.engine import Sessions, autocommit


class ChangeEvents:
    """The table of changes. An event's id is its row's position, `xid-id`."""

    #: No job is called so.
    name = "changes"

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def newest(self) -> EventId:
        """The position of the last change that can be read by now."""
        with autocommit(self._sessions) as session:
            return EventId(*changes.newest(session))

    def read(self, after: EventId, count: int) -> Page:
        """Up to `count` changes; one who was away for longer than they are kept is told first."""
        with autocommit(self._sessions) as session:
            rows = changes.after(session, after.attempt, after.seq, count)
            kept_after = EventId(*changes.oldest(session))
        found = [_event(row) for row in rows]
        if START < after < kept_after:
            gone = Event(kept_after, "truncated", timestamp(), {"after": str(after)})
            found = [gone, *(each for each in found if each.id > kept_after)]
        return Page(found)

    def require_past(self, after: EventId) -> EventId:
        """The same cursor; raises `FutureCursor` if no change has had a position like that."""
        with autocommit(self._sessions) as session:
            if changes.is_ahead(session, after.attempt):
                newest = EventId(*changes.newest(session))
                raise FutureCursor(after=str(after), newest=str(newest))
        return after


def _event(row: Change) -> Event:
    data = {"id": row.subject, **row.data}
    return Event(EventId(row.xid, row.id), row.type, timestamp(row.at), {"data": data})
