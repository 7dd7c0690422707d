"""The page itself: its protection, its languages, and what each role sees."""

from __future__ import annotations

import re

import pytest

from academy.access.keys import Principal, Role, make_key, make_ticket


def test_the_page_runs_only_its_own_scripts_and_sits_in_no_frame(app, browser) -> None:
    mine = browser(Role.ADMIN)
    for answer in (
        app.test_client().get("/academy"),
        mine.open_link(),
        mine.http.get("/academy"),
        mine.http.get("/academy/static/main.js"),
    ):
        rules = dict(
            each.partition(" ")[::2]
            for each in answer.headers["Content-Security-Policy"].split("; ")
        )
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
        assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"
        assert rules["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        answer.close()
    assert mine.http.get("/academy").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("path", "leads_to"), [("/", "/academy"), ("/docs", "/openapi.json")])
def test_whoever_knows_only_the_host_is_led_on(app, path: str, leads_to: str) -> None:
    answer = app.test_client().get(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, leads_to)


def test_every_file_that_the_page_and_its_scripts_name_is_there(browser) -> None:
    mine = browser(Role.ADMIN)
    mine.open_link()
    page = mine.http.get("/academy").text
    wanted = set(re.findall(r'(?:src|href)="(/academy/static/[^"]+)"', page))
    assert {"/academy/static/main.js", "/academy/static/style.css"} <= wanted
    seen: set[str] = set()
    while wanted - seen:
        path = (wanted - seen).pop()
        seen.add(path)
        with mine.http.get(path) as answer:
            assert answer.status_code == 200, path
            if path.endswith(".js"):
                assert answer.mimetype == "text/javascript"
                wanted |= {
                    f"/academy/static/{name}"
                    for name in re.findall(r'from "\./([\w.]+)"', answer.text)
                }
    assert len(seen) > 10


@pytest.mark.parametrize(
    ("asked", "language", "word"),
    [
        ("pl-PL,pl;q=0.9,en;q=0.5", "pl", "Zbiór danych"),
        ("de", "de", "Datensatz"),
        ("fr,en;q=0.3", "en", "Dataset"),
        ("xx", "en", "Dataset"),
    ],
)
def test_the_page_speaks_the_browsers_language(browser, asked, language, word) -> None:
    mine = browser(Role.ADMIN)
    mine.open_link()
    page = mine.http.get("/academy", headers={"Accept-Language": asked}).text
    assert f'<html lang="{language}">' in page
    assert word in page


def test_a_chosen_language_stays_and_an_unknown_one_is_not_taken(app) -> None:
    http = app.test_client()
    assert http.get("/academy?language=pl").location == "/academy"
    for headers in ({}, {"Accept-Language": "de"}):
        assert '<html lang="pl">' in http.get("/academy", headers=headers).text
    http.get("/academy?language=../../etc/passwd")
    assert '<html lang="pl">' in http.get("/academy").text


@pytest.mark.parametrize(
    ("role", "operates", "activates"),
    [
        (Role.VIEWER, "false", "false"),
        (Role.OPERATOR, "true", "false"),
        (Role.ADMIN, "true", "true"),
    ],
)
def test_the_page_offers_what_the_role_may_do(browser, role, operates, activates) -> None:
    mine = browser(role)
    mine.open_link()
    page = mine.http.get("/academy").text
    assert f'data-may-operate="{operates}" data-may-activate="{activates}"' in page
    assert page.count("<fieldset disabled>") == (0 if operates == "true" else 2)


def test_every_input_has_a_label_and_the_recipes_range(browser) -> None:
    mine = browser(Role.ADMIN)
    mine.open_link()
    page = mine.http.get("/academy").text
    inputs = set(re.findall(r'<(?:input|select) id="([\w-]+)"', page)) - {"log-follow"}
    labels = set(re.findall(r'<label for="([\w-]+)"', page))
    assert inputs and inputs <= labels
    rank = re.search(r'<input id="recipe-lora_rank".*?>', page, re.S)
    assert rank is not None
    assert 'min="1"' in rank[0] and 'max="512"' in rank[0] and 'value="16"' in rank[0]


def test_the_name_of_a_key_is_text_and_never_html(app, sessions) -> None:
    with sessions.begin() as session:
        row, _ = make_key(session, "<script>alert(1)</script>", Role.VIEWER)
        session.flush()
        ticket = make_ticket(session, Principal(row.id, row.name, Role.VIEWER))
    http = app.test_client()
    http.get(f"/academy?ticket={ticket}")
    page = http.get("/academy").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
