"""A disk that is full is called full, nothing is lost, and all goes on when there is room."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask

from academy.api.app import create_app
from academy.cli.doctor.findings import State
from academy.cli.doctor.machine import check_disk
from academy.embedded.postgres import EmbeddedPostgres
from academy.settings import Settings
from academy.store.migrate import upgrade
from tests.faults.mounts import Disk, small_disk
from tests.integration.api.conftest import Caller

SMALL, LARGE = "24m", "400m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place, SMALL) as made:
        yield made


def fill(place: Path) -> Path:
    """Write a file until nothing more goes."""
    filling = place / "filling"
    with pytest.raises(OSError, match="No space left"), filling.open("wb", buffering=0) as stream:
        while stream.write(b"\0" * (1 << 20)) == 1 << 20:
            pass
        stream.write(b"\0" * (1 << 20))
    return filling


def rows(count: int) -> bytes:
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"question {number} {secrets.token_hex(8)}"},
                {"role": "assistant", "content": f"answer {number} {secrets.token_hex(32)}"},
            ]
        }
        for number in range(count)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


class TestAFullHome:
    @pytest.fixture
    def settings(self, settings: Settings, disk: Disk) -> Settings:
        return settings.changed(home=disk.path / "home")

    def test_uploads_are_refused_until_there_is_room(
        self, app: APIFlask, admin: Caller, disk: Disk, settings: Settings
    ) -> None:
        settings.home.mkdir()
        ready = app.test_client().get("/readyz")
        assert (ready.status_code, ready.json["checks"]["storage"]) == (200, "ok")
        filling = fill(disk.path)
        body = rows(2000)

        def upload() -> Any:
            file = {"file": (io.BytesIO(body), "rows.jsonl")}
            return admin.post("/datasets/upload", data=file, content_type="multipart/form-data")

        answer = upload()
        assert (answer.status_code, answer.json["code"]) == (507, "storage"), answer.text
        assert "no space left" in answer.json["detail"]
        assert str(disk.path) not in answer.text
        ready = app.test_client().get("/readyz")
        assert ready.status_code == 503
        assert ready.json["checks"]["storage"].startswith("full")
        assert ready.json["checks"]["postgres"] == "ok"
        finding = check_disk(settings)
        assert finding.state is State.BROKEN and finding.detail.startswith("full")

        filling.unlink()
        disk.grow(LARGE)
        answer = upload()
        assert answer.status_code == 202, answer.text  # no worker is there to make the dataset
        assert answer.json["report"]["rows"] == 2000
        assert app.test_client().get("/readyz").status_code == 200
        assert list((settings.home / "work" / "uploads").iterdir()) == []


class TestAFullDatabase:
    @pytest.fixture
    def app(self, settings: Settings, disk: Disk) -> Iterator[APIFlask]:
        disk.grow("160m")
        server = EmbeddedPostgres(disk.path / "postgres", durable=False)
        url = server.start()
        try:
            upgrade(url)
            made = create_app(settings.changed(database_url=url))
            yield made
            made.extensions["academy"].close()
        finally:
            server.stop()

    @pytest.fixture
    def caller(self, app: APIFlask) -> Callable[..., Caller]:
        from academy.access.keys import make_key

        def make(role: Any) -> Caller:
            with app.extensions["academy"].sessions.begin() as session:
                _, secret = make_key(session, "it", role)
            return Caller(app.test_client(), secret)

        return make

    def test_what_is_recorded_is_there_and_the_rest_is_refused(
        self, app: APIFlask, admin: Caller, disk: Disk
    ) -> None:
        kept: list[str] = []

        def record() -> Any:
            sent = {"situation": secrets.token_hex(8), "solution": secrets.token_hex(20_000)}
            answer = admin.post("/lessons", json=sent)
            if answer.status_code == 201:
                kept.extend(answer.json["ids"])
            return answer

        assert record().status_code == 201
        filling = fill(disk.path)
        # The last pages of its tables have some room.
        refused = next(each for each in (record() for _ in range(50)) if each.status_code != 201)
        assert (refused.status_code, refused.json["code"]) == (507, "storage"), refused.text
        assert "The database has no room" in refused.json["detail"]

        filling.unlink()
        assert record().status_code == 201
        there = [each["id"] for each in admin.get("/lessons?limit=200").json["lessons"]]
        assert sorted(there) == sorted(kept)
        assert app.test_client().get("/readyz").json["checks"]["postgres"] == "ok"
