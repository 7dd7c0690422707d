"""Single functions of the page's scripts, called in a real browser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from academy.dashboard.languages import LANGUAGES, texts
from tests.integration.dashboard.chromium import Page


class Scripts:
    """The modules of the page, as a browser of a person with these languages runs them."""

    def __init__(self, page: Page, address: str, languages: str = "en-US,en") -> None:
        self._page = page
        page.speak(languages)
        # Whoever has no session gets a page without scripts, from the same host.
        page.open(f"{address}/academy")
        page.wait_for("document.readyState === 'complete' && document.querySelector('h1')")
        self.of("texts", "loadTexts()")

    def of(self, module: str, call: str) -> Any:
        name = call.partition("(")[0]
        source = f"import('/academy/static/{module}.js').then(({{ {name} }}) => {call})"
        return self._page.outcome(source)


def test_the_smoothed_curve_is_not_drawn_to_its_first_value(page: Page, address: str) -> None:
    scripts = Scripts(page, address)
    constant = scripts.of("curve", "smoothed([2.5, 2.5, 2.5, 2.5])")
    assert constant == pytest.approx([2.5] * 4)
    # By hand: weights 0.5, 0.25 … of the newest values, over their sum.
    assert scripts.of("curve", "smoothed([0, 1, 1], 0.5)") == pytest.approx([0, 2 / 3, 6 / 7])
    # A high value at the start counts by its own weight, and for none that was before it.
    far = scripts.of("curve", "smoothed([10, ...Array(19).fill(1)])")
    assert far[0] == pytest.approx(10)
    assert far[-1] == pytest.approx(1 + 9 * 0.15 * 0.85**19 / (1 - 0.85**20))
    assert scripts.of("curve", "smoothed([])") == []


def test_a_gain_is_proven_only_by_an_interval_that_lies_above_zero(
    page: Page, address: str
) -> None:
    scripts = Scripts(page, address)
    for low, high, verdict in (
        (0.01, 0.2, "proven"),
        (0.0, 0.2, "not_proven"),
        (-0.01, 0.2, "not_proven"),
        (-0.2, 0.0, "not_proven"),
        (-0.2, -0.01, "worse"),
        (None, None, "not_proven"),
    ):
        metrics = json.dumps({"gain": {"mean": 0.1, "low": low, "high": high, "n": 3}})
        assert scripts.of("proof", f"verdictOf({metrics})") == verdict, (low, high)
        doubt = scripts.of("proof", f"doubt({metrics})")
        assert (doubt is None) == (verdict == "proven"), (low, high)
    for metrics in ("{}", "{ gain: null }"):
        assert scripts.of("proof", f"verdictOf({metrics})") == "not_proven"
        assert "no gain was measured" in scripts.of("proof", f"doubt({metrics})")


def test_every_count_has_the_plural_forms_of_its_language(page: Page, address: str) -> None:
    Scripts(page, address)
    for language in LANGUAGES:
        rules = f"new Intl.PluralRules('{language}').resolvedOptions().pluralCategories"
        wanted = set(page.value(rules))
        counted = {key: each for key, each in texts(language).items() if isinstance(each, dict)}
        assert len(counted) > 8
        for key, forms in counted.items():
            assert set(forms) == wanted, (language, key)


@pytest.mark.parametrize(
    ("languages", "counts"),
    [
        ("en-US,en", {1: "1 new line", 2: "2 new lines", 0: "0 new lines"}),
        ("de-DE,de", {1: "1 neue Zeile", 5: "5 neue Zeilen"}),
        (
            "pl-PL,pl",
            {
                1: "1 nowy wiersz",
                3: "3 nowe wiersze",
                5: "5 nowych wierszy",
                12: "12 nowych wierszy",
                22: "22 nowe wiersze",
                1.5: "2 nowego wiersza",
            },
        ),
    ],
)
def test_a_count_and_its_noun_agree(
    page: Page, address: str, languages: str, counts: dict[float, str]
) -> None:
    scripts = Scripts(page, address, languages)
    for count, text in counts.items():
        assert scripts.of("texts", f"counted('log.waiting', {count})") == text


@pytest.mark.parametrize(
    ("languages", "number", "moment", "share", "hours", "blink"),
    [
        ("en-US,en", "1,234.5", "02/01/2026, 03:04 PM", "42%", "1 hr 2 min", "0.25"),
        ("en-GB,en", "1,234.5", "01/02/2026, 15:04", "42%", "1 hr 2 mins", "0.25"),
        ("de-DE,de", "1.234,5", "01.02.2026, 15:04", "42 %", "1 Std. 2 Min.", "0,25"),
        ("de-CH,de", "1'234.5", "01.02.2026, 15:04", "42%", "1 Std. 2 Min.", "0.25"),
        ("pl-PL,pl", "1234,5", "01.02.2026, 15:04", "42%", "1 godz. 2 min", "0,25"),
        # The page speaks English, as it has no Czech; its numbers and dates are those of Prague.
        ("cs-CZ,en;q=0.5", "1 234,5", "01. 02. 2026 15:04", "42 %", "1 hr 2 min", "0,25"),
    ],
)
def test_numbers_and_dates_are_those_of_the_browsers_region_and_units_those_of_the_page(
    page: Page,
    address: str,
    languages: str,
    number: str,
    moment: str,
    share: str,
    hours: str,
    blink: str,
) -> None:
    scripts = Scripts(page, address, languages)
    local = "new Date(2026, 1, 1, 15, 4).toISOString()"
    found = [
        scripts.of("texts", f"{call}")
        for call in (
            "number(1234.5, 1)",
            f"moment({local})",
            "percent(0.42)",
            "duration(3721)",
            "duration(0.25)",
        )
    ]
    spaces = str.maketrans("\u00a0\u202f’", "  '")
    found = [each.translate(spaces) for each in found]
    assert found[:4] == [number, moment, share, hours]
    assert found[4].split()[0] == blink


def test_a_duration_has_its_two_largest_units_and_an_estimate_its_interval(
    page: Page, address: str
) -> None:
    scripts = Scripts(page, address)
    for seconds, text in (
        (0, "0 sec"),
        (59.6, "1 min"),
        (61, "1 min 1 sec"),
        (3600, "1 hr"),
        (90_000, "1 day 1 hr"),
        (7 * 86_400, "7 days"),
        ("null", "–"),
    ):
        found = scripts.of("texts", f"duration({seconds})")
        assert found.replace("\u00a0", " ") == text, seconds
    found = scripts.of("progress", "estimate(200, 180, 240)")
    assert found.replace("\u00a0", " ") == "about 3 min 20 sec (3 min – 4 min)"
    assert scripts.of("progress", "estimate(60, null, null)").endswith("1\u00a0min")
    # Nobody knows the time left to a part of a second.
    found = scripts.of("progress", "estimate(0.4, 0, 8.2)")
    assert found.replace("\u00a0", " ") == "about 1 sec (0 sec – 9 sec)"
    assert scripts.of("progress", "estimate(null, null, null)") == "–"
