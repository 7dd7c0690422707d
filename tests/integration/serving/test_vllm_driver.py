"""What vLLM refuses is told in words that name the way out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from academy.artifacts.manifest import write_manifest
from academy.errors import AcademyError
from academy.runtime.errors import AdapterConflict, RuntimeRefused
from academy.serving.drivers import AdapterRef, EmbeddedDriver, VllmDriver
from tests.integration.serving.conftest import KEY, Vllm

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def make_adapter(tmp_path: Path) -> Callable[..., AdapterRef]:
    """Makes a folder of an adapter with a rank."""

    def make(name: str, rank: int = 8) -> AdapterRef:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
        return AdapterRef(name, folder, write_manifest(folder))

    return make


@pytest.fixture
def driver(vllm: Vllm) -> Iterator[VllmDriver]:
    made = VllmDriver(vllm.url, api_key=KEY)
    yield made
    made.close()


def test_a_version_is_loaded_once_and_keeps_its_name(driver, make_adapter, vllm: Vllm) -> None:
    red, blue = make_adapter("red"), make_adapter("blue")
    assert driver.load(red) is True
    assert driver.load(red) is False
    with pytest.raises(AdapterConflict, match="'red'"):
        driver.load(AdapterRef("red", blue.path, blue.digest))
    assert [(each.name, each.parent) for each in driver.models()] == [
        ("tiny", None),
        ("red", "tiny"),
    ]
    assert driver.unload("red") is True
    assert driver.unload("red") is False
    assert len(vllm.asked("/v1/load_lora_adapter")) == 1


def test_a_version_that_fails_its_first_token_is_put_out_again(driver, make_adapter) -> None:
    torn = make_adapter("torn")
    with pytest.raises(RuntimeRefused, match="cannot be read"):
        driver.load(torn)
    assert [each.name for each in driver.models()] == ["tiny"]


def test_a_rank_above_the_server_s_limit_is_told_in_its_own_words(driver, make_adapter) -> None:
    with pytest.raises(RuntimeRefused, match="rank 64 is greater than max_lora_rank 16"):
        driver.load(make_adapter("wide", rank=64))


def test_a_folder_that_the_server_does_not_see_is_named(driver, make_adapter) -> None:
    unseen = make_adapter("unseen")
    (unseen.path / "adapter_config.json").unlink()
    digest = write_manifest(unseen.path)
    with pytest.raises(RuntimeRefused, match=r"does not find the adapter's folder .*unseen"):
        driver.load(AdapterRef("unseen", unseen.path, digest))


def test_a_server_without_runtime_loading_says_how_to_start_it(start_vllm, make_adapter) -> None:
    closed = start_vllm(updating=False)
    driver = VllmDriver(closed.url)
    assert driver.health().ready
    with pytest.raises(RuntimeRefused, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"):
        driver.load(make_adapter("red"))
    driver.close()


@pytest.mark.parametrize("key", ["", "another"])
def test_a_key_that_is_missing_or_wrong_is_no_ready_server(vllm: Vllm, key: str) -> None:
    driver = VllmDriver(vllm.url, api_key=key)
    health = driver.health()
    assert (health.ready, health.state) == (False, "refused")
    assert "ACADEMY_RUNTIME_API_KEY" in health.detail
    asking: tuple[Callable[..., object], ...] = (driver.chat, driver.chat_stream)
    for ask in asking:
        with pytest.raises(AcademyError, match="ACADEMY_RUNTIME_API_KEY") as refused:
            ask(HELLO, "tiny")
        assert refused.value.status == 502
        assert KEY not in str(refused.value)
    driver.close()


def test_an_address_without_its_kind_is_recognised_as_another_server(vllm: Vllm) -> None:
    driver = EmbeddedDriver(vllm.url)
    health = driver.health()
    assert (health.ready, health.state) == (False, "unknown")
    assert "KIND+http://" in health.detail
    driver.close()
