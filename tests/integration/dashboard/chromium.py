"""A real browser: Debian's Chromium without a window, driven by its DevTools protocol.

Only what the tests need of https://chromedevtools.github.io/devtools-protocol/: open a page, wait
for what it shows, click, and hear of everything that went wrong in it.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from academy.host.processes import end_group, spawn
from tests.waiting import until

_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: How long the browser has to start, and to do what it is told.
_SECONDS = 90.0
_VIOLATION = "ContentSecurityPolicyIssue"
_OPTIONS = (
    "--headless",
    "--remote-debugging-port=0",
    "--lang=en-US",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    # What is not on this machine is not there: the test must not depend on a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Page:
    """A page of a browser. `complaints` is what its console, its rules and its scripts told."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Audits"):
            self._ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to an address; returns when the answer has begun to arrive."""
        answer = self._ask("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is worth in the page; fails if it throws."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def outcome(self, promise: str) -> Any:
        """What a JavaScript expression's promise comes to; fails if it is refused."""
        answer = self._ask(
            "Runtime.evaluate", expression=promise, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, f"{promise}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """Be as wide and high as that, in pixels, with a finger for a pointer: a phone."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
        self._ask("Emulation.setDeviceMetricsOverride", **screen)

    def speak(self, languages: str) -> None:
        """Be the browser of somebody who prefers these languages, such as ``de-CH,de``."""
        agent = self.value("navigator.userAgent")
        self._ask("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=languages)

    def wait_for(self, expression: str) -> None:
        """Wait until a JavaScript expression is truthy; fails after a while, with the page.

        Where it throws it is not true yet: between two pages there is not even a document.
        """
        deadline = time.monotonic() + _SECONDS
        asked = {"expression": f"Boolean({expression})", "returnByValue": True}
        while time.monotonic() < deadline:
            answer = self._exchange("Runtime.evaluate", **asked)
            if answer.get("result", {}).get("result", {}).get("value") is True:
                return
            self._listen(0.1)
        shown = self.value("document.documentElement.outerHTML")
        pytest.fail(f"{expression}: {answer}\ncomplaints: {self.complaints}\n{shown}")

    def wait_for_complaint(self, word: str) -> None:
        """Listen until a complaint with this word came; fails after a while."""
        deadline = time.monotonic() + _SECONDS
        while not any(word in each for each in self.complaints):
            assert time.monotonic() < deadline, f"nothing told of {word!r}: {self.complaints}"
            self._listen(0.1)

    def click(self, selector: str) -> None:
        """Click on what a CSS selector finds, and say yes to a question that the page then asks."""
        self.wait_for(f"document.querySelector({json.dumps(selector)}) !== null")
        self.value(f"document.querySelector({json.dumps(selector)}).click()")

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        answer = self._exchange(method, **parameters)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def _exchange(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = self._tell(method, **parameters)
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            message = self._listen(deadline - time.monotonic())
            if message is not None and message.get("id") == number:
                return message
        pytest.fail(f"the browser did not answer {method} within {_SECONDS:.0f} s")

    def _tell(self, method: str, **parameters: Any) -> int:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        return number

    def _listen(self, seconds: float) -> dict[str, Any] | None:
        """The browser's next message, which may be an event; None if none comes in time."""
        try:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=max(seconds, 0.0)))
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            pytest.fail(f"the browser is gone: {error}")
        self._hear(message.get("method", ""), message.get("params", {}))
        return message

    def _hear(self, event: str, told: dict[str, Any]) -> None:
        if event == "Page.javascriptDialogOpening":
            self._tell("Page.handleJavaScriptDialog", accept=True)
        elif (
            event == "Runtime.exceptionThrown"
            or (event == "Audits.issueAdded" and told["issue"]["code"] == _VIOLATION)
            or (event == "Runtime.consoleAPICalled" and told["type"] in {"error", "warning"})
            or (event == "Log.entryAdded" and told["entry"]["level"] in {"error", "warning"})
        ):
            self.complaints.append(f"{event}: {json.dumps(told)}")


def installed() -> str:
    """The browser's command; without one the test is skipped, but in CI it fails."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is not None:
        return found
    why = f"no browser here (looked for {', '.join(_NAMES)}; apt-get install chromium)"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser with one empty page that keeps all it writes in `folder`; it ends with us."""
    profile = folder / "profile"
    command = [installed(), *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # Chromium's sandbox cannot be root's
    log = folder / "chromium.log"
    with log.open("wb") as output:
        process = spawn(
            command, env={**os.environ, "HOME": str(folder)}, stdout=output, stderr=output
        )
    try:
        with connect(
            _address(profile, process, log), max_size=None, open_timeout=_SECONDS
        ) as socket:
            yield Page(socket)
    finally:
        end_group(process, grace_seconds=10)


def _address(profile: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    """The websocket of the browser's page: Chromium writes its port into a file of its profile."""
    file = profile / "DevToolsActivePort"
    pages: list[str] = []

    def has_a_page() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")
        port = file.read_text().partition("\n")[0] if file.exists() else ""
        if port:
            targets = httpx.get(f"http://127.0.0.1:{port}/json/list", timeout=_SECONDS).json()
            pages.extend(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
        return bool(pages)

    until(has_a_page, _SECONDS, lambda: f"a page is open:\n{log.read_text(errors='replace')}")
    return pages[0]
