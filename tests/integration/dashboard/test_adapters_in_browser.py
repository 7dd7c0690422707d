"""What the page says of an adapter's gain, and what it asks before such an adapter serves."""

from __future__ import annotations

from typing import Any

import pytest

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.models import adapters
from academy.store.models.tables import Adapter
from tests.integration.dashboard.chromium import Page

PROVEN = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 40}
HOLDS_ZERO = {"mean": 0.02, "low": -0.11, "high": 0.15, "n": 12}
ONE_ROW = {"mean": 0.2, "low": None, "high": None, "n": 1}
WORSE = {"mean": -0.5, "low": -0.75, "high": -0.25, "n": 40}
GAINS: dict[str, dict[str, Any] | None] = {
    "proven": PROVEN,
    "holds-zero": HOLDS_ZERO,
    "one-row": ONE_ROW,
    "worse": WORSE,
    "unmeasured": None,
}


@pytest.fixture
def registered(settings: Settings, sessions: Sessions) -> None:
    with sessions.begin() as session:
        for name, gain in GAINS.items():
            adapters.register(
                session,
                Adapter(
                    id=name,
                    digest=f"sha256:{name}",
                    key=f"adapters/{name}",
                    job_id=None,
                    base_model="tiny",
                    parameters={},
                    metrics={"base_loss": 2.5, "adapter_loss": 2.0, "gain": gain} if gain else {},
                    code_version="0",
                ),
            )


@pytest.fixture
def opened(page: Page, address: str, ticket: str, registered: None) -> Page:
    page.open(f"{address}/academy?ticket={ticket}")
    page.wait_for(f"document.querySelectorAll('#adapter-list li').length === {len(GAINS)}")
    return page


def test_a_gain_whose_interval_holds_zero_or_is_missing_is_called_not_proven(opened: Page) -> None:
    assert {name: _text(opened, name, ".badge") for name in GAINS} == {
        "proven": "proven",
        "holds-zero": "not proven",
        "one-row": "not proven",
        "worse": "worse than the base model",
        "unmeasured": "not proven",
    }
    holds_zero = _text(opened, "holds-zero", ".pairs")
    assert "+0.020 (95% interval -0.110 to +0.150; 12 held-out rows)" in holds_zero
    assert "(no interval; 1 held-out row is too few)" in _text(opened, "one-row", ".pairs")


def test_an_adapter_that_is_not_proven_is_activated_only_after_a_question(
    opened: Page, sessions: Sessions
) -> None:
    reasons = {
        "holds-zero": "the interval of its gain contains zero",
        "one-row": "too few held-out rows for an interval",
        "worse": "is worse than its base model",
        "unmeasured": "no gain was measured",
    }
    for name, reason in reasons.items():
        opened.click(f'#adapter-list [data-key="{name}"] [data-action="activate"]')
        opened.wait_for("document.getElementById('ask').open")
        question = opened.value("document.getElementById('ask').textContent")
        assert f"Activate {name}?" in question and reason in question
        assert opened.value("document.activeElement.id") == "ask-no"
        opened.click("#ask-no")
        opened.wait_for("document.getElementById('said').textContent === 'Nothing was changed.'")
        opened.value("document.getElementById('said').textContent = ''")
    assert opened.complaints == []  # no move was asked for, so none was refused
    with sessions() as session:
        assert adapters.moves(session, "default") == []

    # No file of these adapters is there, so the server refuses each move that it is asked for.
    opened.click('#adapter-list [data-key="holds-zero"] [data-action="activate"]')
    opened.click("#ask[open] #ask-yes")
    opened.wait_for("!document.getElementById('trouble').hidden")


def test_a_proven_adapter_is_activated_without_a_question(opened: Page) -> None:
    opened.click('#adapter-list [data-key="proven"] [data-action="activate"]')
    opened.wait_for("!document.getElementById('trouble').hidden")
    assert not opened.value("document.getElementById('ask').open")


def _text(page: Page, adapter: str, part: str) -> str:
    node = f"document.querySelector('#adapter-list [data-key=\"{adapter}\"] {part}')"
    return str(page.value(f"{node}.textContent"))
