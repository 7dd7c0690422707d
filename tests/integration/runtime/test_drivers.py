"""The drivers work against a real server, and a version swap loses no request."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from academy.artifacts.manifest import ManifestMissing, write_manifest
from academy.errors import DigestMismatch, InvalidRequest, Unavailable
from academy.runtime.errors import AdapterConflict, AdapterNotLoaded, AdapterUnfit
from academy.serving.drivers import AdapterRef, EmbeddedDriver, RuntimeDriver, VllmDriver
from tests.integration.servers import Served
from tests.waiting import until

HELLO: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hello"}],
    "temperature": 0,
    "max_tokens": 24,
}


@pytest.fixture(params=[EmbeddedDriver, VllmDriver])
def driver(server: Served, request: pytest.FixtureRequest) -> Iterator[RuntimeDriver]:
    """Each driver in turn, at the embedded server, which speaks vLLM's protocol."""
    driver: RuntimeDriver = request.param(server.url)
    yield driver
    for each in driver.models():
        if each.parent is not None:
            driver.unload(each.name)
    driver.close()


def test_a_version_is_loaded_asked_and_unloaded(driver: RuntimeDriver, red: AdapterRef) -> None:
    assert driver.health().ready
    assert driver.load(red) is True
    assert driver.load(red) is False
    assert [each.name for each in driver.models()] == ["tiny", red.name]
    assert driver.models()[1].root == str(red.path)
    assert driver.chat(HELLO, red.name).text != driver.chat(HELLO, "tiny").text
    assert driver.unload(red.name) is True
    assert driver.unload(red.name) is False
    with pytest.raises(AdapterNotLoaded, match=red.name):
        driver.chat(HELLO, red.name)


def test_a_stream_gives_the_words_of_the_whole_answer(
    driver: RuntimeDriver, red: AdapterRef
) -> None:
    driver.load(red)
    whole = driver.chat(HELLO, red.name)
    with driver.chat_stream(HELLO, red.name) as stream:
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in stream)
    assert text == whole.text
    assert stream.adapter == whole.adapter == red.name
    with pytest.raises(AdapterNotLoaded):
        driver.chat_stream(HELLO, "nobody")


def test_a_name_keeps_its_version(driver: RuntimeDriver, red: AdapterRef, blue: AdapterRef) -> None:
    driver.load(red)
    with pytest.raises(AdapterConflict, match=red.name):
        driver.load(replace(blue, name=red.name))


def test_changed_and_unfinished_folders_are_refused(
    driver: RuntimeDriver, red: AdapterRef, tmp_path: Path
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(red.path, changed)
    with (changed / "README.md").open("a") as stream:
        stream.write("changed")
    with pytest.raises(DigestMismatch, match=red.digest):
        driver.load(AdapterRef("changed", changed, red.digest))
    (changed / "manifest.json").unlink()
    with pytest.raises(ManifestMissing):
        driver.load(AdapterRef("changed", changed, red.digest))
    assert [each.name for each in driver.models()] == ["tiny"]


def test_a_wrong_value_raises_the_server_s_own_error(driver: RuntimeDriver) -> None:
    with pytest.raises(InvalidRequest, match="temperature"):
        driver.chat({**HELLO, "temperature": 5}, "tiny")


def test_nobody_there_is_said_plainly(free_port: int, red: AdapterRef) -> None:
    for driver in (
        EmbeddedDriver(f"http://127.0.0.1:{free_port}"),
        VllmDriver(f"http://127.0.0.1:{free_port}"),
    ):
        assert driver.health().state == "unreachable"
        with pytest.raises(Unavailable, match=str(free_port)):
            driver.load(red)
        with pytest.raises(Unavailable, match=str(free_port)):
            driver.chat_stream(HELLO, "tiny")
        driver.close()


def test_an_adapter_of_another_model_is_refused(
    server: Served, red: AdapterRef, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(red.path, tmp_path / "wide")
    weights = load_file(tmp_path / "wide" / "adapter_model.safetensors")
    name = next(name for name in weights if "lora_A" in name)
    weights[name] = torch.zeros(weights[name].shape[0], weights[name].shape[1] + 1)
    save_file(weights, tmp_path / "wide" / "adapter_model.safetensors")
    wide = AdapterRef("wide", tmp_path / "wide", write_manifest(tmp_path / "wide"))
    driver = EmbeddedDriver(server.url)
    with pytest.raises(AdapterUnfit, match="inputs and"):
        driver.load(wide)
    assert [each.name for each in driver.models()] == ["tiny"]
    driver.close()


def test_a_swap_under_eight_chats_loses_none_and_mixes_none(
    server: Served, red: AdapterRef, blue: AdapterRef
) -> None:
    driver = EmbeddedDriver(server.url)
    assert driver.load(red) and driver.load(blue)
    expected = {each.name: driver.chat(HELLO, each.name).text for each in (red, blue)}
    assert expected[red.name] != expected[blue.name]
    driver.unload(blue.name)

    serving = red.name  # what an alias points at
    swapped = threading.Event()
    answers: list[tuple[str, str]] = []
    failures: list[BaseException] = []

    def chat() -> None:
        try:
            after = 0
            while after < 5:  # until five answers were asked for after the swap
                after += swapped.is_set()
                try:
                    answer = driver.chat(HELLO, serving)
                except AdapterNotLoaded:
                    answer = driver.chat(HELLO, serving)  # it was unloaded since: ask the alias
                answers.append((answer.adapter, answer.text))
        except BaseException as error:
            failures.append(error)

    chats = [threading.Thread(target=chat) for _ in range(8)]
    for each in chats:
        each.start()

    def has_asked_enough() -> bool:
        if len(answers) >= 24 or failures:
            return True
        assert any(each.is_alive() for each in chats)
        return False

    until(has_asked_enough, 60, "24 answers", poll=0.01)
    driver.load(blue)
    serving = blue.name
    swapped.set()
    driver.unload(red.name)
    for each in chats:
        each.join(timeout=60)
    assert not failures
    assert Counter(text == expected[name] for name, text in answers) == {True: len(answers)}
    assert {name for name, _ in answers} == {red.name, blue.name}
    assert sum(name == blue.name for name, _ in answers) >= 40
    driver.unload(blue.name)
    driver.close()


def test_the_drivers_import_no_torch_and_run_under_gevent(server: Served) -> None:
    script = f"""
from gevent import monkey; monkey.patch_all()
import gevent, sys
from academy.serving.drivers import EmbeddedDriver
driver = EmbeddedDriver({server.url!r})
payload = {{"messages": [{{"role": "user", "content": "Hello"}}], "max_tokens": 40}}
order = []
def chat(number):
    for chunk in driver.chat_stream(payload, "tiny"):
        order.append(number)
gevent.joinall([gevent.spawn(chat, number) for number in range(4)], raise_error=True)
assert set(order) == set(range(4)) and order != sorted(order), order
assert not {{"torch", "flask", "transformers"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)
