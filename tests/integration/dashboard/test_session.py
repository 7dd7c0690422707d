"""One link, one session: how a browser comes in, what its cookie may do, and how it ends."""

from __future__ import annotations

import re

import psycopg
import pytest

from academy.access.keys import Principal, Role, make_key, make_ticket

LESSON = {"situation": "a", "solution": "b"}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "X-Academy-Dashboard": "1"}


def _sign_in(browser, role: Role = Role.ADMIN):
    made = browser(role)
    assert made.open_link().status_code == 303
    return made


def test_a_link_opens_the_page_once_and_leaves_no_ticket_in_the_address(app, browser) -> None:
    mine = browser(Role.VIEWER)
    opened = mine.open_link()
    assert (opened.status_code, opened.location) == (303, "/academy")
    page = mine.http.get("/academy")
    assert page.status_code == 200
    assert "the viewer" in page.text
    other = app.test_client()
    again = other.get(f"/academy?ticket={mine.ticket}")
    assert again.status_code == 401
    assert "used before" in again.text
    assert other.get("/academy").status_code == 401


def test_looking_whether_a_link_works_does_not_use_it_up(browser) -> None:
    mine = browser(Role.VIEWER)
    assert mine.http.head(f"/academy?ticket={mine.ticket}").status_code == 401
    assert mine.open_link().status_code == 303


def test_a_link_on_another_site_gets_a_page_that_goes_on_by_itself(browser) -> None:
    mine = browser(Role.VIEWER)
    opened = mine.open_link(headers={"Sec-Fetch-Site": "cross-site"})
    assert opened.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/academy">' in opened.text
    assert mine.http.get("/academy").status_code == 200


@pytest.mark.parametrize(("scheme", "is_secure"), [("http", False), ("https", True)])
def test_the_cookie_is_hidden_from_scripts_and_other_sites(browser, scheme, is_secure) -> None:
    cookie = (
        browser(Role.VIEWER).open_link(base_url=f"{scheme}://academy.test").headers["Set-Cookie"]
    )
    attributes = [each.strip() for each in cookie.split(";")]
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(attributes)
    assert ("Secure" in attributes) == is_secure
    assert re.fullmatch(r"academy_session=ses_[\w-]{43}", attributes[0])


def test_two_installations_on_one_machine_keep_their_sessions_apart(browser) -> None:
    cookie = browser(Role.VIEWER).open_link(base_url="http://127.0.0.1:8123").headers["Set-Cookie"]
    assert cookie.startswith("academy_session_8123=ses_")


def test_only_a_hash_of_the_session_is_stored_and_a_used_ticket_is_no_session(
    app, browser, settings
) -> None:
    mine = _sign_in(browser)
    secret = mine.http.get_cookie("academy_session").value
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        assert secret not in str(connection.execute("SELECT * FROM tickets").fetchall())
    other = app.test_client()
    other.set_cookie("academy_session", mine.ticket)
    assert other.get("/academy").status_code == 401
    assert other.get(f"/academy?ticket={secret}").status_code == 401
    assert other.get(f"/academy?ticket=session:{secret}").status_code == 401


def test_without_a_session_the_page_says_how_to_get_in(app) -> None:
    page = app.test_client().get("/academy")
    assert page.status_code == 401
    assert page.mimetype == "text/html"
    for way in ("academy up", "academy ticket", "/api/v1/academy/tickets"):
        assert way in page.text


def test_the_cookie_counts_as_its_key_for_the_pages_own_requests(browser) -> None:
    mine = _sign_in(browser, Role.OPERATOR)
    assert mine.api("GET", "/status").status_code == 200
    assert mine.api("POST", "/lessons", json=LESSON).status_code == 201
    refused = mine.api("GET", "/keys")
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
    # Over plain HTTP on a network a browser sends no Sec-Fetch-Site.
    assert mine.api("GET", "/status", headers={}).status_code == 200


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"Sec-Fetch-Site": "cross-site"}),
        ("GET", {"Sec-Fetch-Site": "same-site"}),
        ("GET", {"Sec-Fetch-Site": "none"}),
        ("GET", {"Origin": "https://evil.test"}),
        ("GET", {"Origin": "null"}),
        ("GET", {"Origin": "http://[localhost"}),
        ("POST", {"Sec-Fetch-Site": "same-origin"}),
        ("POST", {"Origin": "http://localhost"}),
        ("POST", {}),
        ("POST", {"X-Academy-Dashboard": "1", "Sec-Fetch-Site": "same-site"}),
        ("POST", {"X-Academy-Dashboard": "1", "Origin": "http://localhost:9999"}),
    ],
)
def test_the_cookie_does_not_count_for_a_request_of_another_page(browser, method, headers) -> None:
    mine = _sign_in(browser)
    body = {"json": LESSON} if method == "POST" else {}
    refused = mine.api(method, "/lessons", headers=headers, **body)
    assert (refused.status_code, refused.json["code"]) == (403, "cookie_refused")
    assert mine.api("GET", "/lessons").json["count"] == 0


def test_a_key_in_the_header_counts_before_the_cookie(browser, sessions) -> None:
    mine = _sign_in(browser, Role.ADMIN)
    with sessions.begin() as session:
        _, secret = make_key(session, "a program", Role.VIEWER)
    headers = {"Authorization": f"Bearer {secret}", "Sec-Fetch-Site": "cross-site"}
    assert mine.api("GET", "/status", headers=headers).status_code == 200
    assert mine.api("GET", "/keys", headers=headers).status_code == 403


def test_revoking_the_key_ends_its_sessions(browser) -> None:
    mine, admin = _sign_in(browser, Role.OPERATOR), _sign_in(browser, Role.ADMIN)
    assert admin.api("DELETE", f"/keys/{mine.key_id}").status_code == 200
    refused = mine.api("GET", "/status")
    assert (refused.status_code, refused.json["code"]) == (401, "key_revoked")
    page = mine.http.get("/academy")
    assert page.status_code == 401
    assert "revoked" in page.text
    assert mine.http.get_cookie("academy_session") is None


def test_a_session_ends_after_twelve_hours(browser, settings) -> None:
    mine = _sign_in(browser)
    with psycopg.connect(settings.postgres.url, connect_timeout=10, autocommit=True) as connection:
        (hours,) = connection.execute(
            "SELECT max(extract(epoch FROM expires_at - now())) / 3600 FROM tickets"
        ).fetchone()
        assert 11.9 < float(hours) <= 12
        connection.execute("UPDATE tickets SET expires_at = now()")
    refused = mine.api("GET", "/status")
    assert (refused.status_code, refused.json["code"]) == (401, "session_ended")
    assert mine.http.get("/academy").status_code == 401


def test_signing_out_ends_the_session_on_the_server(app, browser) -> None:
    mine = _sign_in(browser)
    stolen = mine.http.get_cookie("academy_session").value
    path = "/academy/session"
    assert mine.http.delete(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert mine.http.get("/academy").status_code == 200
    assert mine.http.delete(path, headers=OWN_PAGE).status_code == 204
    other = app.test_client()
    other.set_cookie("academy_session", stolen)
    assert other.get("/academy").status_code == 401
    assert other.delete(path, headers=OWN_PAGE).status_code == 204


def test_a_link_and_a_language_keep_what_the_address_says_of_jobs(browser) -> None:
    mine = browser(Role.VIEWER)
    opened = mine.http.get(f"/academy?ticket={mine.ticket}&job=training_1&kind=training&next=/x")
    assert (opened.status_code, opened.location) == (303, "/academy?job=training_1&kind=training")
    chosen = mine.http.get("/academy?language=pl&status=failed")
    assert chosen.location == "/academy?status=failed"


def test_a_jobs_address_on_another_site_leads_whoever_is_signed_in_to_the_job(browser) -> None:
    """A browser keeps a strict cookie back there, and sends it when our own page goes on."""
    mine = browser(Role.VIEWER)
    from_elsewhere = {"Sec-Fetch-Site": "cross-site"}
    led = mine.http.get("/academy?job=training_1", headers=from_elsewhere)
    assert led.status_code == 200
    refresh = '<meta http-equiv="refresh" content="0; url=/academy?job=training_1">'
    assert refresh in led.text
    # Without a session the page that goes on ends where everybody without one does.
    own = {"Sec-Fetch-Site": "same-origin"}
    assert mine.http.get("/academy?job=training_1", headers=own).status_code == 401
    hostile = mine.http.get('/academy?job="><script>', headers=from_elsewhere)
    assert "<script>" not in hostile.text


class TestALinkWhileThereIsASession:
    """A stranger's link must not put the stranger's key in the place of one's own."""

    def test_of_another_key_it_asks_and_leaves_everything_as_it_is(self, browser) -> None:
        mine, theirs = _sign_in(browser, Role.ADMIN), browser(Role.VIEWER)
        asked = mine.http.get(f"/academy?ticket={theirs.ticket}")
        assert asked.status_code == 200 and 'action="/academy/session"' in asked.text
        assert f'value="{theirs.ticket}"' in asked.text
        assert "Set-Cookie" not in asked.headers
        assert "the admin" in mine.http.get("/academy").text

    def test_whoever_agrees_gets_the_other_key_and_the_first_session_is_over(
        self, app, browser
    ) -> None:
        mine, theirs = _sign_in(browser, Role.ADMIN), browser(Role.VIEWER)
        before = mine.http.get_cookie("academy_session").value
        sent = {"ticket": theirs.ticket}
        own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
        answer = mine.http.post("/academy/session", data=sent, headers=own)
        assert (answer.status_code, answer.location) == (303, "/academy")
        assert "the viewer" in mine.http.get("/academy").text
        other = app.test_client()
        other.set_cookie("academy_session", before)
        assert other.get("/academy").status_code == 401

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Origin": "https://evil.test"},
            {"Origin": "null"},
            {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-origin"},
        ],
    )
    def test_a_form_of_another_page_changes_nothing(self, browser, headers) -> None:
        mine, theirs = _sign_in(browser, Role.ADMIN), browser(Role.VIEWER)
        sent = {"ticket": theirs.ticket}
        refused = mine.http.post("/academy/session", data=sent, headers=headers)
        assert (refused.status_code, refused.json["code"]) == (403, "cookie_refused")
        assert "the admin" in mine.http.get("/academy").text
        assert theirs.open_link().status_code == 303, "the ticket is still good"

    def test_it_asks_also_where_the_browser_keeps_the_cookie_back(self, app, browser) -> None:
        mine, theirs = _sign_in(browser, Role.ADMIN), browser(Role.VIEWER)
        # What a browser sends along when a page of another site leads here: no strict cookie.
        sent = app.test_client()
        sent.set_cookie(
            "academy_session_begun", mine.http.get_cookie("academy_session_begun").value
        )
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {}):
            asked = sent.get(f"/academy?ticket={theirs.ticket}", headers=headers)
            assert asked.status_code == 200 and 'action="/academy/session"' in asked.text
            assert "Set-Cookie" not in asked.headers

    def test_of_the_same_key_or_after_the_session_it_does_not_ask(self, browser, sessions) -> None:
        mine, theirs = _sign_in(browser, Role.ADMIN), browser(Role.VIEWER)
        with sessions.begin() as session:
            ticket = make_ticket(session, Principal(mine.key_id, "the admin", Role.ADMIN))
        assert mine.http.get(f"/academy?ticket={ticket}").status_code == 303
        assert mine.http.delete("/academy/session", headers=OWN_PAGE).status_code == 204
        assert mine.http.get(f"/academy?ticket={theirs.ticket}").status_code == 303

    def test_a_used_link_leaves_the_session(self, browser) -> None:
        mine, theirs = _sign_in(browser, Role.ADMIN), browser(Role.VIEWER)
        theirs.open_link()
        own = {"Origin": "http://localhost"}
        sent = {"ticket": theirs.ticket}
        assert mine.http.post("/academy/session", data=sent, headers=own).status_code == 401
        assert "the admin" in mine.http.get("/academy").text
        wrong = mine.http.post("/academy/session", json=sent, headers=own)
        assert (wrong.status_code, wrong.json["code"]) == (415, "unsupported_media_type")
