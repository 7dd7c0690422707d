"""What a user gives goes into a request as what it is, or is refused by name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from academy.errors import NotFound
from academy.wire.sending import (
    BadAddress,
    BadKey,
    Unsendable,
    quoted,
    require_address,
    require_key,
    require_sendable,
)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("training_1", "training_1"),
        ("role:coder", "role%3Acoder"),
        ("a?x=1#y", "a%3Fx%3D1%23y"),
        ("50 %", "50%20%25"),
        ("..%2Fstatus", "..%252Fstatus"),
        ("häuser", "h%C3%A4user"),
        ("...", "..."),
    ],
)
def test_an_id_is_one_part_of_a_path(given: str, part: str) -> None:
    assert quoted("job", given) == part


@pytest.mark.parametrize(
    "given", ["", ".", "..", "../schedules/ok", "a/b?x=1", "/", "a\n", "a\x00", "\udcff"]
)
def test_what_can_be_no_part_of_a_path_is_no_id(given: str) -> None:
    with pytest.raises(NotFound) as caught:
        quoted("job", given)
    assert str(caught.value) == f"There is no job {given!r}."


def test_a_text_too_long_for_an_id_is_not_shown_whole() -> None:
    with pytest.raises(NotFound) as caught:
        quoted("job", "x" * 100_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("key", ["", "aca_se\ncret", "aca_secret ", "aca_secret\r", "aca_secretü"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(BadKey, match="ACADEMY_API_KEY") as caught:
        require_key(key, "ACADEMY_API_KEY")
    assert "aca" not in str(caught.value) and "ü" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://999.999.1.1:1",
        "nonsense",
        " ",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://x:0",
        "http://x y",
        "http://x\n",
        "http://a..b",
        f"http://{'a' * 70}",
        "http://x/?a=1",
        "http://\udcff",
    ],
)
def test_an_address_that_no_client_can_use_is_refused_by_name_and_value(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        require_address(url, "ACADEMY_URL")
    assert str(caught.value).startswith(f"ACADEMY_URL is {url!r}, which is no address of an API: ")


@pytest.mark.parametrize("url", ["http://me:geheim@x", "me:geheim@x", "http://me:geheim@[::1"])
def test_a_password_in_an_address_is_not_shown(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        require_address(url, "ACADEMY_URL")
    assert "geheim" not in str(caught.value) and "***@" in str(caught.value)


@pytest.mark.parametrize("url", ["http://x", "https://x:1/a", "http://[::1]:8", "http://ü.de"])
def test_an_address_loses_only_the_slashes_at_its_end(url: str) -> None:
    assert require_address(f"{url}/", "ACADEMY_URL") == url


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\udcff"])
def test_what_json_cannot_carry_is_refused_by_where_it_is(value: object) -> None:
    with pytest.raises(Unsendable, match="request, seeds, 1 cannot be sent"):
        require_sendable({"request": {"seeds": [1, value]}}, "")
    with pytest.raises(Unsendable, match="udcff"):
        require_sendable({"\udcff": 1}, "")


def test_what_is_nested_too_deeply_is_refused_by_its_field() -> None:
    value: list[object] = []
    for _ in range(900):
        value = [value]
    with pytest.raises(Unsendable, match=r"^seed cannot be sent: it is nested too deeply\.$"):
        require_sendable({"seed": value}, "")


def test_no_path_is_made_of_anything_that_is_not_quoted(repository: Path) -> None:
    files = [repository / "academy" / "client.py", *(repository / "academy" / "cli").glob("*.py")]
    unquoted = []
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr) and ast.unparse(node)[2:].startswith(
                ("/", "{BASE}/")
            ):
                parts = [each.value for each in node.values if isinstance(each, ast.FormattedValue)]
                unquoted += [
                    f"{file.name}:{node.lineno}"
                    for each in parts
                    if ast.unparse(each) != "BASE" and not ast.unparse(each).startswith("quoted(")
                ]
    assert unquoted == []
