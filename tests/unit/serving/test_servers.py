"""The addresses of model servers: each says its kind, and a wrong one is refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from academy.errors import BadSetting
from academy.serving import servers
from academy.serving.drivers import EmbeddedDriver, VllmDriver
from academy.serving.servers import Address, ModelServers, addresses_of
from academy.settings import Settings


def settings(runtime_url: str, **more: str) -> Settings:
    return Settings.from_env({"ACADEMY_RUNTIME_URL": runtime_url, **more})


def test_an_address_without_a_kind_is_that_of_the_embedded_server() -> None:
    found = addresses_of(
        settings(
            " http://127.0.0.1:8100/ , VLLM+https://gpu.example/llm,embedded+http://[::1]:8100"
        )
    )
    assert found == (
        Address("embedded", "http://127.0.0.1:8100"),
        Address("vllm", "https://gpu.example/llm"),
        Address("embedded", "http://[::1]:8100"),
    )


def test_every_address_gets_the_driver_of_its_kind() -> None:
    made = ModelServers(settings("http://a,vllm+http://b:8000", ACADEMY_RUNTIME_API_KEY="k"))
    assert [type(each.driver) for each in made] == [EmbeddedDriver, VllmDriver]
    assert [(each.kind, each.url) for each in made] == [
        ("embedded", "http://a"),
        ("vllm", "http://b:8000"),
    ]
    made.close()


def test_no_address_is_no_server() -> None:
    made = ModelServers(settings(" , "))
    assert (len(made), made.health()) == (0, [])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ollama+http://h:11434", "of a kind that is there: embedded or vllm"),
        ("+http://h", "of a kind that is there: embedded or vllm"),
        ("vllm://h:8000", "KIND is embedded or vllm"),
        ("vllm+ftp://h:8000", "KIND is embedded or vllm"),
        ("10.0.0.5:8000", "KIND is embedded or vllm"),
        ("http://", "an address with a host"),
        ("vllm+http://:8000", "an address with a host"),
        ("http://a b", "host and port"),
        ("http://h:99999", "host and port"),
        ("http://h:0", "1 to 65535"),
        ("http://h:eight", "host and port"),
        ("http://[::1", "host and port"),
        ("vllm+http://h:8000/v1", "without /v1"),
        ("http://h:8100?key=1", "without a query"),
        ("http://h:8100#x", "without a query"),
        ("http://h:8100?", "without a query"),
        ("http://h:8100#", "without a query"),
        ("http://999.999.1.1:1", "host and port"),
        ("http://127.1:1", "host and port"),
        ("http://0x7f000001:1", "host and port"),
        ("http://[127.0.0.1]:1", "host and port"),
        ("http://[::1]x:1", "host and port"),
        ("http://::1:1", "with a host"),
        ("http://http://h:1", "path"),
        ("http://h\\x:1", "host and port"),
        ("http://%41:1", "host and port"),
        ("http://-:1", "host and port"),
        ("http://h..x:1", "host and port"),
        ("http://h:", "host and port"),
        ("http://h:+1", "host and port"),
        ("http://h:\u0661", "host and port"),
        ("http://h:8100/v1/chat", "without /v1"),
        ("http://h:8100/V1", "without /v1"),
        ("http://h:1/../x", "path"),
        ("http://h:1/a//b", "path"),
        ("http://h:1/%2e%2e/x", "path"),
        ("http://h:1/a b", "path"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_by_name(address: str, words: str) -> None:
    with pytest.raises(BadSetting) as refused:
        addresses_of(settings(f"http://127.0.0.1:8100,{address}"))
    assert words in str(refused.value)
    shown = address.partition("?")[0].partition("#")[0]
    assert f"ACADEMY_RUNTIME_URL is {shown!r}, but" in str(refused.value)


@pytest.mark.parametrize(
    "twice",
    [
        "http://h,http://h:80/",
        "http://h:8100,vllm+http://H:8100",
        "https://h,https://h:443",
        "http://[::1]:1,http://[0:0::1]:1",
        "http://127.0.0.1:1,http://[::ffff:127.0.0.1]:1",
        "http://h.:1,http://h:1",
        "http://h:1/a,http://h:01/a/",
    ],
)
def test_two_addresses_of_one_server_are_refused(twice: str) -> None:
    with pytest.raises(BadSetting, match="the same server"):
        addresses_of(settings(twice))


@pytest.mark.parametrize(
    "address",
    [
        "vllm+http://me:secret@h:8000",
        "me:secret@h:8000",
        "http://me:sec,secret@h:8000",
        "http://me:secret,a,secret@h:8000",
        "http://me:x,,secret@h:8000",
        "http://me:se/c?r#secret@h:8000",
        "secret@http://h:8000",
        "http://me:sec,http://secret@h:8000",
        "http://other:1,http://me:secret@h:8000",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(BadSetting, match="ACADEMY_RUNTIME_API_KEY") as refused:
        addresses_of(settings(address))
    shown = str(refused.value).partition(" is ")[2].partition(", but")[0]
    assert "h:8000" in shown
    assert not any(each in shown for each in ("sec", "me", "x"))


@pytest.mark.parametrize(
    "address", ["http://h:1?key=SECRET", "http://h:1/a#SECRET", "h?SECRET,SECRET"]
)
def test_a_query_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(BadSetting, match="ACADEMY_RUNTIME_URL") as refused:
        addresses_of(settings(address))
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("key", ["two words", "schlüssel", "a\nb"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(BadSetting, match="ACADEMY_RUNTIME_API_KEY") as refused:
        ModelServers(settings("http://h", ACADEMY_RUNTIME_API_KEY=key))
    assert key not in str(refused.value)


def test_a_new_kind_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Double(EmbeddedDriver):
        def __init__(self, url: str, key: str) -> None:
            super().__init__(url)
            made.append((url, key))

    monkeypatch.setitem(servers.KINDS, "double", Double)
    found = ModelServers(settings("double+http://h:1", ACADEMY_RUNTIME_API_KEY="k"))
    assert [each.kind for each in found] == ["double"]
    assert made == [("http://h:1", "k")]
    with pytest.raises(BadSetting, match="embedded or vllm or double"):
        addresses_of(settings("triple+http://h"))
    found.close()


@pytest.mark.parametrize(
    ("warm", "program"), [("warm_commands", ["academy.cli", "up"]), ("warm_apis", ["academy.api"])]
)
def test_nothing_starts_with_an_unknown_kind(
    request: pytest.FixtureRequest, warm: str, program: list[str], tmp_path: Path
) -> None:
    env = {
        **os.environ,
        "ACADEMY_HOME": str(tmp_path / "home"),
        "ACADEMY_RUNTIME_URL": "ollama+http://127.0.0.1:11434",
    }
    done = request.getfixturevalue(warm).run(*program, env=env, timeout_seconds=120)
    assert done.returncode == 1
    assert "'ollama+http://127.0.0.1:11434'" in done.stderr
    assert "embedded or vllm" in done.stderr
    assert not (tmp_path / "home").exists()


def test_where_nobody_names_a_server_it_is_the_one_of_academy_runtime() -> None:
    for nothing in ("", "auto"):
        found = settings(nothing)
        assert found.serving.is_auto
        assert addresses_of(found) == (Address("embedded", "http://127.0.0.1:8100"),)
    named = settings("http://127.0.0.1:8100")
    assert addresses_of(named) == addresses_of(settings("auto")) and not named.serving.is_auto
    assert named.environ()["ACADEMY_RUNTIME_URL"] == "http://127.0.0.1:8100"
    assert addresses_of(settings(",")) == ()
    with pytest.raises(BadSetting, match="auto"):
        addresses_of(settings("auto,http://one"))
