"""The receiver that docs/webhooks.md shows takes what is delivered, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx

from academy.host.processes import end_group, spawn
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.webhooks import webhooks
from academy.webhooks import keeping
from academy.webhooks.deliverer import Deliverer
from tests.waiting import until


def test_the_documented_receiver_takes_what_is_signed_and_refuses_the_rest(
    repository: Path,
    tmp_path: Path,
    settings: Settings,
    sessions: Sessions,
    hook,
    settled,
    free_port: int,
) -> None:
    page = (repository / "docs" / "webhooks.md").read_text()
    [program] = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    script = tmp_path / "receiver.py"
    script.write_text(program)
    url = f"http://127.0.0.1:{free_port}/"
    webhook = hook(url)
    with sessions() as session:
        secret = webhooks.get(session, webhook).secret
    env = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(free_port)}
    process = spawn([sys.executable, str(script)], env=env, stdout=subprocess.PIPE)
    try:

        def listens() -> bool:
            assert process.poll() is None
            try:
                return httpx.get(url, timeout=5).status_code == 501
            except httpx.TransportError:
                return False

        until(listens, 30, "the receiver listens")
        with sessions.begin() as session:
            keeping.test(session, webhook)
        with Deliverer(settings):
            [row] = settled(webhook, 1)
        assert (row.state, row.last_status) == ("delivered", 204)
        forged = {
            "webhook-id": "evt_1_1",
            "webhook-timestamp": "1796085935",
            "webhook-signature": "v1,AAAA",
        }
        assert httpx.post(url, content=b"{}", headers=forged, timeout=5).status_code == 401
        assert process.stdout is not None
        assert process.stdout.readline().decode().split() == ["webhook.test", webhook]
    finally:
        end_group(process, grace_seconds=5)
        if process.stdout is not None:
            process.stdout.close()
