"""Changes in a database that was restored on another server, whose transactions are numbered anew.

A dump carries the numbers of the old server's transactions. Where the new one counts from less,
what changes there would lie before the old rows, and no reader that has read those would ever see
it. So ``academy migrate`` gives the old rows a number below all others, before anything is written.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

#: The first number that a transaction can have.
_FIRST = 3

_IS_AHEAD = """
SELECT EXISTS (
    SELECT FROM (
        SELECT max(xid) FROM changes
        UNION ALL SELECT max(cursor_xid) FROM webhooks
        UNION ALL SELECT max(xid) FROM removed_changes
    ) AS known (xid) WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
)
"""
_RENUMBER = f"""
LOCK TABLE changes, webhooks, removed_changes IN SHARE ROW EXCLUSIVE MODE;
UPDATE webhooks SET cursor_xid = '{_FIRST}', cursor_id = (
    SELECT count(*) FROM changes WHERE (xid, id) <= (cursor_xid, cursor_id)
);
WITH old AS (DELETE FROM changes RETURNING *)
INSERT INTO changes (xid, id, at, type, subject, data) OVERRIDING SYSTEM VALUE
    SELECT '{_FIRST}', row_number() OVER (ORDER BY xid, id), at, type, subject, data FROM old;
UPDATE removed_changes SET xid = '{_FIRST}', id = 0 WHERE xid <> '0';
"""


def settle_in(connection: Connection) -> bool:
    """Renumber the changes if they are another server's; whether they were.

    Their order stays, and each webhook has read as many of them as before. The caller holds the
    migrators' lock.
    """
    is_there = connection.scalar(text("SELECT to_regclass('webhooks') IS NOT NULL"))
    if not is_there or not connection.scalar(text(_IS_AHEAD)):
        return False
    connection.exec_driver_sql(_RENUMBER)
    return True
