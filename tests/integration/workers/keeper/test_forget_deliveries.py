"""Deliveries end in time though nobody could make them, and old ones are removed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.webhooks import keeping
from academy.webhooks.request import WebhookChange, WebhookRequest
from workers.keeper.forget_deliveries import ForgetDeliveries


@pytest.fixture
def sent(sessions: Sessions) -> tuple[str, list[int]]:
    """A disabled webhook, and the numbers of three deliveries that wait for it."""
    with sessions.begin() as session:
        webhook = keeping.create(session, WebhookRequest(url="https://8.8.8.8/"), "ci")
        numbers = [keeping.test(session, webhook.id).number for _ in range(3)]
        keeping.change(session, webhook.id, WebhookChange(enabled=False))
    return webhook.id, numbers


def test_what_waits_for_too_long_is_given_up_and_what_ended_long_ago_is_removed(
    context, settings: Settings, sent: tuple[str, list[int]]
) -> None:
    _, (old, claimed, fresh) = sent
    duty = ForgetDeliveries(context)
    with psycopg.connect(settings.postgres.url, autocommit=True, connect_timeout=10) as database:

        def states() -> dict[int, Any]:
            rows = database.execute("SELECT number, state, last_error FROM webhook_deliveries")
            return {number: (state, error) for number, state, error in rows}

        database.execute(
            "UPDATE webhook_deliveries SET created_at = now() - interval '25 hours'"
            " WHERE number <> %s",
            (fresh,),
        )
        database.execute(
            "UPDATE webhook_deliveries SET claimed_until = now() + interval '1 minute'"
            " WHERE number = %s",
            (claimed,),
        )
        assert (duty.do(), duty.do()) == (1, 0)
        assert states() == {
            old: ("given_up", "it could not be tried in time"),
            claimed: ("pending", None),
            fresh: ("pending", None),
        }
        database.execute(
            "UPDATE webhook_deliveries SET settled_at = now() - interval '6 days'"
            " WHERE settled_at IS NOT NULL"
        )
        assert duty.do() == 0
        database.execute(
            "UPDATE webhook_deliveries SET settled_at = now() - interval '8 days'"
            " WHERE settled_at IS NOT NULL"
        )
        assert (duty.do(), sorted(states())) == (1, [claimed, fresh])
