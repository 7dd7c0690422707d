"""Signatures are those of Standard Webhooks, as OpenAI's client checks them."""

from __future__ import annotations

import base64
import time

import pytest
from openai import InvalidWebhookSignatureError, OpenAI

from academy.webhooks import signing


@pytest.fixture
def client() -> OpenAI:
    return OpenAI(api_key="none")


def test_a_known_signature_is_made_again() -> None:
    """The example of https://docs.svix.com/receiving/verifying-payloads/how-manual."""
    secret, event = "whsec_plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf"
    body = b'{"event_type":"ping","data":{"success":true}}'
    made = signing.signature(secret, event, 1731705121, body)
    assert made == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


def test_a_secret_has_256_random_bits() -> None:
    one, other = signing.new_secret(), signing.new_secret()
    assert one != other and len(base64.b64decode(one.removeprefix("whsec_"))) == 32


def test_either_secret_proves_a_request_while_they_change(client: OpenAI) -> None:
    old, new, foreign = (signing.new_secret() for _ in range(3))
    body = '{"type": "job.queued", "data": {}}'
    headers = signing.headers("evt_1_2", int(time.time()), body.encode(), [new, old])
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (new, old):
        client.webhooks.verify_signature(body, headers, secret=secret)
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.verify_signature(body, headers, secret=foreign)
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.verify_signature(body + " ", headers, secret=new)
