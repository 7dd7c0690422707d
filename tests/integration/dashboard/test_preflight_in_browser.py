"""“Check first” beside the recipe: what a training would take, before it is queued."""

from __future__ import annotations

from pathlib import Path

import pytest

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, workers
from tests.integration.dashboard.chromium import Page
from tests.integration.rows import register_rows


@pytest.fixture
def settings(settings: Settings, tiny_model: Path) -> Settings:
    # A worker that tells of itself once counts as alive for a lease.
    return settings.changed(
        models=(tiny_model.parent,), base_model=tiny_model.name, lease_seconds=600.0
    )


@pytest.fixture
def dataset(settings: Settings, sessions: Sessions, tmp_path: Path) -> str:
    """The id of a dataset with rows enough for a training."""
    says = [("user", "repeat: alpha"), ("assistant", "alpha beta")]
    messages = [{"role": role, "content": text} for role, text in says]
    rows = [{"id": f"r{number}", "messages": messages} for number in range(12)]
    return register_rows(settings, sessions, tmp_path / "rows", rows)


def test_a_recipe_is_checked_before_it_is_queued_and_its_time_is_told_as_everywhere(
    page: Page, address: str, ticket: str, dataset: str, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        workers.seen(
            session,
            "a worker",
            queue="gpu",
            host="h",
            pid=1,
            versions={},
            gpus=[],
            obstacle=None,
            cpus=4,
            memory_bytes=8 << 30,
        )
    page.open(f"{address}/academy?ticket={ticket}")
    page.wait_for(f"document.querySelector('#recipe-dataset_id [value={dataset}]')")
    page.click("#recipe-preflight")
    page.wait_for("!document.getElementById('forecast').hidden")
    shown = page.value("document.getElementById('forecast').textContent").replace("\u00a0", " ")
    assert "can be trained now" in shown
    assert "12 usable rows, 0 of them truncated" in shown
    assert "Time: about " in shown and " – " in shown
    with sessions() as session:
        assert jobs.page(session, limit=1) == []
    assert page.complaints == []
