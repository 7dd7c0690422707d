"""`academy ticket` prints a link that a browser can open."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import httpx
import pytest
from werkzeug.serving import make_server

from academy.access.keys import Role, make_key
from tests.warm.python import WarmPython


@pytest.fixture
def address(app) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(timeout=30)
    server.server_close()


def test_the_command_prints_a_link_that_opens_the_dashboard(
    address, sessions, warm_commands: WarmPython
) -> None:
    with sessions.begin() as session:
        _, key = make_key(session, "the cli", Role.OPERATOR)
    env = {**os.environ, "ACADEMY_URL": address, "ACADEMY_API_KEY": key}
    done = warm_commands.run("academy.cli", "ticket", env=env)
    assert done.returncode == 0, done.stderr
    link = done.stdout.strip()
    assert link.startswith(f"{address}/academy?ticket=tkt_")
    with httpx.Client(timeout=30, follow_redirects=True) as browser:
        page = browser.get(link)
    assert page.status_code == 200
    assert str(page.url) == f"{address}/academy"
    assert "the cli" in page.text
