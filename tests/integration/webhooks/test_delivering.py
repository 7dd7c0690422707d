"""What changes arrives at real receivers: signed, in order, again where it failed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim
from academy.store.models import adapters
from academy.store.models.tables import Adapter
from academy.store.webhooks import deliveries, webhooks
from academy.webhooks import keeping, message
from academy.webhooks.deliverer import Deliverer
from academy.webhooks.request import RotationRequest, WebhookChange
from tests.waiting import until


@pytest.fixture
def deliverer(settings: Settings) -> Iterator[None]:
    with Deliverer(settings):
        yield


def submit(sessions: Sessions, kind: JobKind = JobKind.TRAINING, **values: Any) -> str:
    queue = "gpu" if kind is JobKind.TRAINING else "curation"
    given = {"kind": kind, "queue": queue, "parameters": {}, **values}
    job = Job(id=jobs.new_id(kind), **given)
    with sessions.begin() as session:
        transitions.submit(session, job)
    return job.id


def train(sessions: Sessions) -> str:
    job_id = submit(sessions, role="coder")
    with sessions.begin() as session:
        job = transitions.claim(session, "gpu", "w", 60)
    assert job is not None and job.id == job_id
    held = Claim(job.id, job.fence, job.attempt, "w")
    with sessions.begin() as session:
        transitions.start(session, held)
    with sessions.begin() as session:
        transitions.finish(session, held, {"adapter_id": job_id})
    return job_id


def webhooks_behind(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return list(webhooks.behind(session))


def secret_of(sessions: Sessions, webhook_id: str) -> str:
    with sessions() as session:
        return webhooks.get(session, webhook_id).secret


def test_a_training_is_told_in_order_and_openais_client_takes_its_end(
    sessions: Sessions, receiver, hook, settled, deliverer
) -> None:
    there = receiver()
    webhook = hook(there.url)
    job_id = train(sessions)
    settled(webhook, 4)
    assert there.types() == [
        "job.queued",
        "job.preparing",
        "job.running",
        "fine_tuning.job.succeeded",
    ]
    last = there.got[-1]
    client = OpenAI(api_key="none")
    event = client.webhooks.unwrap(last.raw, last.headers, secret=secret_of(sessions, webhook))
    assert (event.type, event.data.id, event.object) == (
        "fine_tuning.job.succeeded",
        job_id,
        "event",
    )
    assert event.id == last.headers["webhook-id"] and event.created_at > 1_700_000_000
    assert last.body["timestamp"].endswith("Z")
    assert last.body["data"]["adapter_id"] == job_id
    assert last.body["data"]["role"] == "coder"
    assert last.body["cursor"].partition("-")[2] == event.id.rpartition("_")[2]
    assert last.headers[":path"] == "/hook?of=test"
    assert last.headers["content-type"] == "application/json"
    assert last.headers["host"] == f"127.0.0.1:{there.port}"


def test_only_what_is_asked_for_is_told_and_only_from_now_on(
    sessions: Sessions, receiver, hook, settled, deliverer
) -> None:
    submit(sessions)
    there = receiver()
    ends, rest = hook(there.url, "job.cancelled"), hook(there.url, "dataset.*")
    curation = submit(sessions, JobKind.CURATION)
    with sessions.begin() as session:
        transitions.request_cancel(session, curation)
    settled(ends, 1)
    settled(rest, 0)
    assert [each.body["data"]["id"] for each in there.got] == [curation]
    assert there.types() == ["job.cancelled"]


def test_what_failed_is_tried_again_and_what_comes_after_it_waits(
    sessions: Sessions, receiver, hook, settled, deliverer
) -> None:
    there = receiver()
    refused: list[str] = []

    def answers(got: Any) -> int:
        if got.body["type"] == "job.preparing" and refused.count("job.preparing") < 3:
            refused.append("job.preparing")
            return 500
        return 200

    there.answers = answers
    webhook = hook(there.url)
    train(sessions)
    rows = settled(webhook, 4)
    assert there.types() == [
        "job.queued",
        *["job.preparing"] * 4,
        "job.running",
        "fine_tuning.job.succeeded",
    ]
    ids = {each.headers["webhook-id"] for each in there.got if each.body["type"] == "job.preparing"}
    bodies = {each.raw for each in there.got if each.body["type"] == "job.preparing"}
    assert len(ids) == len(bodies) == 1
    assert [each.attempts for each in rows] == [1, 4, 1, 1]
    assert [each.last_status for each in rows] == [200] * 4


def test_a_subject_does_not_hold_up_others(
    sessions: Sessions, receiver, hook, settled, deliverer
) -> None:
    there = receiver()
    stuck = submit(sessions, JobKind.CURATION)
    open_again = threading.Event()

    def answers(got: Any) -> int:
        return 503 if got.body["data"]["id"] == stuck and not open_again.is_set() else 200

    there.answers = answers
    webhook = hook(there.url)
    with sessions.begin() as session:
        transitions.request_cancel(session, stuck)
    until(lambda: len(there.got) >= 2, 20, "the stuck one is tried twice")
    other = train(sessions)
    until(
        lambda: [each.body["data"]["id"] for each in there.got].count(other) == 4,
        20,
        "the other job is told whole",
    )
    open_again.set()
    settled(webhook, 5)


def test_a_redirect_is_not_followed_and_the_answer_is_kept_in_part(
    sessions: Sessions, settings: Settings, receiver, hook, settled
) -> None:
    there, elsewhere = receiver(), receiver()
    said = ("It is\x00 elsewhere: " + "x" * 9000).encode()
    there.answers = lambda got: (302, {"Location": elsewhere.url}, said)
    webhook = hook(there.url)
    with sessions.begin() as session:
        keeping.test(session, webhook)
    with Deliverer(settings.changed(webhook_hours=0.0)):
        [row] = settled(webhook, 1)
    assert (row.state, row.last_status) == ("given_up", 302)
    assert row.last_error == "it answered 302, a redirect, which is not followed"
    assert row.last_answer.startswith("It is  elsewhere: xxx") and len(row.last_answer) == 300
    assert (len(there.got), len(elsewhere.got)) == (1, 0)


def test_a_server_that_is_gone_is_told_nothing_more_until_somebody_enables_it(
    sessions: Sessions, receiver, hook, settled, deliverer
) -> None:
    there = receiver()
    there.answers = lambda got: 410
    webhook = hook(there.url)
    submit(sessions)
    [row] = settled(webhook, 1)
    assert (row.state, row.last_error) == ("given_up", "it answered 410")
    with sessions() as session:
        found = webhooks.get(session, webhook)
        assert (found.enabled, found.disabled_reason) == (False, "gone")
    submit(sessions)  # nobody is told of this one
    there.answers = lambda got: 204
    with sessions.begin() as session:
        keeping.change(session, webhook, WebhookChange(enabled=True))
    last = submit(sessions)
    settled(webhook, 2)
    assert [each.body["data"]["id"] for each in there.got][1:] == [last]


def test_a_server_to_which_nobody_answers_rests_and_holds_up_nobody(
    sessions: Sessions, receiver, hook, settled, deliverer, free_port: int
) -> None:
    there = receiver()
    dead, alive = hook(f"http://127.0.0.1:{free_port}/"), hook(there.url)
    job_ids = [submit(sessions) for _ in range(30)]
    settled(alive, 30)
    assert sorted(each.body["data"]["id"] for each in there.got) == sorted(job_ids)

    def is_resting() -> bool:
        with sessions() as session:
            return webhooks.get(session, dead).silent > 1

    until(is_resting, 20, "the dead one rests")


def test_a_delivery_that_always_fails_is_given_up_and_the_next_one_goes(
    sessions: Sessions, settings: Settings, receiver, hook, settled
) -> None:
    there = receiver()
    there.answers = lambda got: 500 if got.body["type"] == "job.queued" else 204
    webhook = hook(there.url)
    job_id = submit(sessions)
    with sessions.begin() as session:
        transitions.request_cancel(session, job_id)
    with Deliverer(settings.changed(webhook_hours=0.0001)):
        first, second = settled(webhook, 2)
    assert (first.state, first.last_status, first.last_error) == (
        "given_up",
        500,
        "it answered 500",
    )
    assert (second.state, second.last_error) == ("delivered", None)


def test_slow_servers_hold_up_nobody(
    sessions: Sessions, receiver, hook, settled, deliverer
) -> None:
    slow, quick = receiver(), receiver()
    go_on = threading.Event()

    def answers(got: Any) -> int:
        go_on.wait(60)
        return 204

    slow.answers = answers
    held_up, free = hook(slow.url), hook(quick.url)
    for _ in range(40):
        submit(sessions)
    settled(free, 40)
    with sessions() as session:
        rows = deliveries.page(session, held_up, state=None, limit=100, before=None)
    assert {row.state for row in rows} == {"pending"}
    assert sum(row.attempts for row in rows) <= 8
    go_on.set()
    settled(held_up, 40)


def test_two_deliverers_deliver_each_event_once(
    sessions: Sessions, settings: Settings, receiver, hook, settled
) -> None:
    there = receiver()
    webhook = hook(there.url)
    with Deliverer(settings), Deliverer(settings):
        for _ in range(40):
            job_id = submit(sessions)
            with sessions.begin() as session:
                transitions.request_cancel(session, job_id)
        settled(webhook, 80)
    ids = [each.headers["webhook-id"] for each in there.got]
    assert len(ids) == len(set(ids)) == 80
    seen: dict[str, list[str]] = {}
    for each in there.got:
        seen.setdefault(each.body["data"]["id"], []).append(each.body["type"])
    assert {tuple(each) for each in seen.values()} == {("job.queued", "fine_tuning.job.cancelled")}


def test_a_claim_whose_keeper_was_killed_is_taken_over(
    sessions: Sessions, settings: Settings, receiver, hook, settled
) -> None:
    there = receiver()
    webhook = hook(there.url)
    submit(sessions)
    until(lambda: webhooks_behind(sessions), 60, "the change can be seen")
    with sessions.begin() as session:
        assert webhooks.fan_out(session, webhook, message.deliveries_of, 10) == 1
    with sessions.begin() as session:
        [held] = deliveries.claim(session, webhook, seconds=1.0, most=10)
        assert deliveries.claim(session, webhook, seconds=1.0, most=10) == []
    with Deliverer(settings):
        [row] = settled(webhook, 1)
    assert row.attempts == held.attempt + 1
    with sessions.begin() as session:  # the killed one comes back and knows nothing of it
        late = deliveries.Tried(299, None, "too late")
        deliveries.delivered(session, [(held, late)])
        assert not deliveries.put_off(session, held, late, seconds=0)
        assert deliveries.get(session, webhook, held.number).last_status == 204


def test_the_end_cuts_off_who_does_not_answer_and_gives_the_delivery_back(
    sessions: Sessions, settings: Settings, receiver, hook, settled
) -> None:
    there = receiver()
    asked, go_on = threading.Event(), threading.Event()

    def answers(got: Any) -> int:
        asked.set()
        go_on.wait(60)
        return 204

    there.answers = answers
    webhook = hook(there.url)
    submit(sessions)
    with Deliverer(settings):
        assert asked.wait(20)
    with sessions() as session:
        found = webhooks.get(session, webhook)
        assert (found.silent, found.rest_until) == (0, None)  # it was not its server's fault
        [row] = deliveries.page(session, webhook, state=None, limit=1, before=None)
        assert (row.state, row.claimed_until, row.last_error) == ("pending", None, None)
    go_on.set()
    there.answers = lambda got: 204
    with Deliverer(settings):
        [row] = settled(webhook, 1)
    assert row.state == "delivered" and row.attempts == 2


def test_after_a_rotation_both_secrets_prove_it(
    sessions: Sessions, receiver, hook, settled, deliverer
) -> None:
    there = receiver()
    webhook = hook(there.url)
    old = secret_of(sessions, webhook)
    with sessions.begin() as session:
        new = keeping.rotate(session, webhook, RotationRequest(grace_seconds=60)).secret
        keeping.test(session, webhook)
    settled(webhook, 1)
    with sessions.begin() as session:
        newest = keeping.rotate(session, webhook, RotationRequest(grace_seconds=0)).secret
        keeping.test(session, webhook)
    settled(webhook, 2)
    client = OpenAI(api_key="none")
    first, second = there.got
    for secret in (old, new):
        client.webhooks.verify_signature(first.raw, first.headers, secret=secret)
    client.webhooks.verify_signature(second.raw, second.headers, secret=newest)
    assert second.headers["webhook-signature"].count("v1,") == 1


def test_a_repetition_comes_behind_what_waits_and_is_the_same_event(
    sessions: Sessions, receiver, hook, settled, deliverer
) -> None:
    there = receiver()
    webhook = hook(there.url)
    submit(sessions)
    [first] = settled(webhook, 1)
    with sessions.begin() as session:
        again = keeping.repeat(session, webhook, first.number)
        twice = keeping.repeat(session, webhook, again.number)
        assert (again.repeats, twice.repeats) == (first.number, first.number)
    settled(webhook, 3)
    assert len({each.headers["webhook-id"] for each in there.got}) == 1
    assert len(there.got) == 3


def test_where_private_servers_are_not_allowed_nothing_is_sent_to_one(
    sessions: Sessions, settings: Settings, receiver, hook, settled
) -> None:
    """As when a name leads elsewhere by now: it is looked at where the connection is made."""
    there = receiver()
    webhook = hook(f"http://localhost:{there.port}/")
    submit(sessions)
    strict = settings.changed(webhook_private=False, webhook_hours=0.0)
    with Deliverer(strict):
        [row] = settled(webhook, 1)
    assert row.state == "given_up" and "which is not public" in str(row.last_error)
    assert there.got == []


def test_aliases_and_adapters_are_told(
    sessions: Sessions, receiver, hook, settled, deliverer
) -> None:
    there = receiver()
    webhook = hook(there.url, "alias.*", "adapter.*")
    made = Adapter(
        id="a",
        digest="sha256:a",
        key="adapters/a",
        base_model="tiny",
        parameters={},
        metrics={},
        code_version="1",
    )
    with sessions.begin() as session:
        adapters.register(session, made)
        adapters.move_alias(
            session, "default", "a", expected_generation=0, moved_by="ci", reason=None
        )
    settled(webhook, 2)
    told = {each.body["type"]: each.body["data"] for each in there.got}
    assert told["alias.moved"] == {
        "id": "default",
        "generation": 1,
        "to_adapter_id": "a",
        "moved_by": "ci",
    }
    assert told["adapter.created"]["id"] == "a"
