"""The server's process: it drains, it dies with its parent, it says why it cannot start."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from academy.host.processes import end_group, spawn, wait_until_gone
from academy.runtime.errors import AdapterNotLoaded
from academy.serving.drivers import AdapterRef, EmbeddedDriver
from tests.integration.servers import start_model_server, wait_until_ready
from tests.waiting import until
from tests.warm.python import WarmPython

from .conftest import wait_for_running

HELLO = [{"role": "user", "content": "Hello"}]


def test_sigterm_finishes_short_answers_and_ends_long_ones_with_a_reason(
    warm_trainers: WarmPython, base_folder: Path, tmp_path: Path
) -> None:
    options = ["--drain-seconds", "10"]
    served = start_model_server(warm_trainers, base_folder, tmp_path / "log", options)
    try:
        wait_until_ready(served)
        body = {"model": "tiny", "messages": HELLO, "ignore_eos": True, "stream": True}
        url = f"{served.url}/v1/chat/completions"
        with (
            httpx.Client(timeout=30) as client,
            # The short one comes last and is long enough to be seen beside the other one.
            client.stream("POST", url, json={**body, "max_tokens": 8000}) as long,
            client.stream("POST", url, json={**body, "max_tokens": 300}) as short,
        ):
            wait_for_running(served, 2)
            served.process.send_signal(signal.SIGTERM)
            *_, last, done = (line for line in short.iter_lines() if line)
            assert '"finish_reason": "length"' in last
            assert done == "data: [DONE]"
            *_, last = (line for line in long.iter_lines() if line)
            assert '"code": "busy"' in last
        assert served.process.wait(timeout=20) == 0
        assert EmbeddedDriver(served.url).health().state == "unreachable"
    finally:
        end_group(served.process, grace_seconds=1)


def test_a_killed_worker_is_replaced_and_its_adapters_can_be_loaded_again(
    warm_trainers: WarmPython, base_folder: Path, red: AdapterRef, tmp_path: Path
) -> None:
    served = start_model_server(warm_trainers, base_folder, tmp_path / "log")
    driver = EmbeddedDriver(served.url)
    try:
        wait_until_ready(served)
        driver.load(red)
        [worker] = psutil.Process(served.process.pid).children()
        worker.kill()
        assert wait_until_gone(worker.pid, timeout_seconds=10)
        wait_until_ready(served)
        with pytest.raises(AdapterNotLoaded, match=red.name):
            driver.chat({"messages": HELLO, "max_tokens": 1}, red.name)
        assert driver.load(red)
        assert driver.chat({"messages": HELLO, "max_tokens": 1}, red.name).adapter == red.name
    finally:
        driver.close()
        end_group(served.process, grace_seconds=20)


def test_the_server_dies_with_its_parent(base_folder: Path, tmp_path: Path) -> None:
    parent_code = f"""
import sys, time
from academy.host.processes import spawn
child = spawn([sys.executable, "-m", "academy.runtime", "--model", {str(base_folder)!r},
               "--port", "0"])
print(child.pid, flush=True)
time.sleep(60)
"""
    with (tmp_path / "log").open("wb") as log:
        parent = spawn([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, stderr=log)
    assert parent.stdout is not None
    with parent.stdout:
        supervisor = psutil.Process(int(parent.stdout.readline()))
    until(supervisor.children, 20, lambda: f"a worker starts: {(tmp_path / 'log').read_text()}")
    workers = supervisor.children()
    parent.kill()
    parent.wait(timeout=10)
    assert wait_until_gone(supervisor.pid, timeout_seconds=10)
    assert wait_until_gone(workers[0].pid, timeout_seconds=10)


def test_a_model_that_cannot_be_served_ends_the_process_with_its_reason(
    tmp_path: Path, warm_trainers: WarmPython
) -> None:
    missing = subprocess.run(
        [sys.executable, "-m", "academy.runtime", "--model", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert missing.returncode == 2
    assert "config.json" in missing.stderr

    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    served = start_model_server(warm_trainers, tmp_path, tmp_path / "log")
    try:
        assert served.process.wait(timeout=60) == 3
    finally:
        end_group(served.process, grace_seconds=1)
    assert "cannot be served" in served.log.read_text()
