"""The application over real servers, and browsers in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from academy.access.keys import Principal as Who
from academy.access.keys import Role, make_key, make_ticket
from academy.settings import Settings
from academy.store.engine import Sessions
from tests.integration.dashboard import chromium
from tests.integration.dashboard.chromium import Page
from tests.integration.servers import api_process
from tests.warm.python import WarmPython

API = "/api/v1/academy"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "X-Academy-Dashboard": "1"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # Nobody listens there: the dashboard needs no model server.
    return settings.changed(base_model="tiny", runtime_url=("http://127.0.0.1:9",))


@dataclass(frozen=True)
class Browser:
    """A client that keeps cookies, and the key that its link stands for."""

    http: FlaskClient
    key_id: str
    ticket: str

    def open_link(self, **more: Any) -> Any:
        return self.http.get(f"/academy?ticket={self.ticket}", **more)

    def api(self, method: str, path: str, headers: dict[str, str] = OWN_PAGE, **more: Any) -> Any:
        return self.http.open(API + path, method=method, headers=headers, **more)


@pytest.fixture
def browser(app: APIFlask, sessions: Sessions) -> Callable[[Role], Browser]:
    """Makes a browser that holds a fresh link of a key with a role."""

    def make(role: Role) -> Browser:
        with sessions.begin() as session:
            row, _ = make_key(session, f"the {role}", role)
            session.flush()
            ticket = make_ticket(session, Who(row.id, row.name, role))
            return Browser(app.test_client(), row.id, ticket)

    return make


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    folder = tmp_path / "browser"
    folder.mkdir()
    with chromium.browser(folder) as page:
        yield page


@pytest.fixture
def address(
    page: Page, settings: Settings, free_port: int, tmp_path: Path, warm_apis: WarmPython
) -> Iterator[str]:
    """Where an API process answers; after `page`, so that no browser means no process."""
    settings = settings.changed(port=free_port)
    with api_process(warm_apis, settings, tmp_path / "api.log") as served:
        yield served.url


@pytest.fixture
def ticket(sessions: Sessions) -> str:
    with sessions.begin() as session:
        row, _ = make_key(session, "the admin", Role.ADMIN)
        session.flush()
        return make_ticket(session, Who(row.id, row.name, Role.ADMIN))
