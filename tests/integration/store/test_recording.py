"""Recording under an id that somebody else deletes meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from academy.errors import Unavailable
from academy.store.data import lessons
from academy.store.engine import Sessions, autocommit

ROW: dict[str, Any] = {
    "id": "same",
    "situation": "s",
    "solution": "t",
    "tags": [],
    "source": "test",
    "quality": None,
    "created_at": datetime(2026, 12, 1, tzinfo=UTC),
}


@pytest.mark.parametrize(("deletions", "is_recorded"), [(1, True), (3, True), (1_000, False)])
def test_what_is_deleted_between_two_looks_is_recorded_again(
    sessions: Sessions, deletions: int, is_recorded: bool
) -> None:
    """The row is there for the insert, and gone for the comparison."""
    left = deletions

    def delete_and_restore(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal left
        if statement.startswith("INSERT INTO lessons") and left:
            left -= 1
            with sessions.begin() as other:
                lessons.delete_lesson(other, ROW["id"])
        elif statement.startswith("SELECT lessons.id") and left:
            with autocommit(sessions) as other:
                lessons.add_lessons(other, [ROW])

    with sessions.begin() as session:
        assert lessons.add_lessons(session, [ROW]) == 1
    with autocommit(sessions) as session:
        connection = session.connection()
        event.listen(connection, "after_cursor_execute", delete_and_restore)
        if not is_recorded:
            with pytest.raises(Unavailable, match="same"):
                lessons.add_lessons(session, [ROW])
            return
        assert lessons.add_lessons(session, [ROW]) == 1
    with sessions() as session:
        assert lessons.count(session) == 1
