"""Which addresses a webhook may have, in every spelling that somebody might try."""

from __future__ import annotations

import ipaddress

import pytest

from academy.webhooks.targets import TargetRefused, is_public, parse, resolve


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.9.9"),
        *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255", "224.0.0.1"),
        *("239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1"),
        *("fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::"),
        *("2002:a00:1::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1"),
        *("100::1", "2001:10::1"),
    ],
)
def test_what_is_not_reached_by_everybody_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.128.0.1"),
        *("2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
    ],
)
def test_what_everybody_reaches_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/", "begins neither"),
        ("example.com/hook", "begins neither"),
        ("https:///hook", "usual form"),
        ("https://user:secret@example.com/", "user or a password"),
        ("https://token@example.com/", "user or a password"),
        ("https://example.com/#top", "fragment"),
        ("https://exam ple.com/", "spell as %XX"),
        ("https://exam\tple.com/", "spell as %XX"),
        ("https://bücher.example/", "spell as %XX"),
        ("https://example.com\\@127.0.0.1/", "spell as %XX"),
        ("https://example.com:99999/", "cannot be read"),
        ("https://example.com:0/", "usual form"),
        ("https://example.com:/", "usual form"),
        ("https://[::1/", "cannot be read"),
        ("https://[fe80::1%25eth0]/", "usual form"),
        ("https://0x7f.1/", "usual form"),
        ("https://0x7f000001/", "usual form"),
        ("https://2130706433/", "usual form"),
        ("https://127.1/", "usual form"),
        ("https://0177.0.0.1/", "usual form"),
        ("https://127.0.0.1./", "usual form"),
        ("https://%31%32%37.0.0.1/", "usual form"),
        ("https://example.com/" + "a" * 2000, "2000 characters"),
    ],
)
def test_an_address_that_can_be_meant_otherwise_is_refused(url: str, why: str) -> None:
    with pytest.raises(TargetRefused, match=why) as refused:
        parse(url)
    assert "secret" not in str(refused.value) and "token" not in str(refused.value)
    assert refused.value.errors[0]["pointer"] == "/url"


def test_an_address_is_taken_apart() -> None:
    target = parse("https://Hooks.Example:8443/a/b?c=%20d")
    assert (target.host, target.port, target.is_tls) == ("hooks.example", 8443, True)
    assert (target.path, target.host_header) == ("/a/b?c=%20d", "hooks.example:8443")
    assert parse("https://example.com").path == "/"
    assert parse("https://example.com:443/").host_header == "example.com"
    assert parse("http://[2606:4700::1]:80/").host_header == "[2606:4700::1]"
    assert parse("https://[::ffff:8.8.8.8]/").host == "8.8.8.8"


@pytest.mark.parametrize(
    ("url", "private", "why"),
    [
        ("https://127.0.0.1/", False, "127.0.0.1, which is not public"),
        ("https://[::ffff:127.0.0.1]/", False, "127.0.0.1, which is not public"),
        ("https://localhost/", False, "which is not public"),
        ("http://127.0.0.1/", False, "not public"),
        ("http://8.8.8.8/", False, "others need https"),
        ("http://8.8.8.8/", True, "others need https"),
        ("https://nowhere.invalid/", True, "the name nowhere.invalid (cannot be|was not) resolved"),
    ],
)
def test_where_a_request_would_go_is_refused(url: str, private: bool, why: str) -> None:
    with pytest.raises(TargetRefused, match=why):
        resolve(parse(url), private=private)


@pytest.mark.parametrize(
    ("url", "private", "addresses"),
    [
        ("https://8.8.8.8/", False, ["8.8.8.8"]),
        ("https://8.8.8.8/", True, ["8.8.8.8"]),
        ("https://10.0.0.1/", True, ["10.0.0.1"]),
        ("http://127.0.0.1:9/", True, ["127.0.0.1"]),
    ],
)
def test_where_a_request_may_go_is_told(url: str, private: bool, addresses: list[str]) -> None:
    assert resolve(parse(url), private=private) == addresses
