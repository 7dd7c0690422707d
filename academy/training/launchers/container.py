"""A trainer in a container: its stream, its signals, its end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from docker.errors import APIError, NotFound
from docker.utils.socket import frames_iter

import docker
from academy.training.launchers.docker_engine import ENGINE_ERRORS, engine_url, known
from academy.training.launchers.errors import DockerUnavailable
from academy.training.launchers.order import Ended
from academy.training.launchers.output import Lines, TrainerOutput

log = logging.getLogger(__name__)

_STDOUT = 1
#: How long the engine may take to note an exit after the container's output has ended.
_SETTLE_SECONDS = 15.0


class ContainerTrainer:
    """Starts a created container, attached to its three streams.

    Standard input is the lifeline: the engine ends it when this process dies, and with it the
    trainer. Leaving the trainer as a context manager removes the container and closes `client`.
    """

    def __init__(self, client: docker.APIClient, container: str, output: TrainerOutput) -> None:
        self._client = client
        self.container = container
        self._output = output
        self._cpu_seconds = 0.0
        # Attached before the start, so that the first line is not missed.
        self._answer, self._stream = _attach(client, container)
        self._reader = threading.Thread(target=self._read, name="container-out", daemon=True)
        self._reader.start()
        try:
            client.start(container)
        except BaseException:
            self._let_go()
            raise

    def __enter__(self) -> ContainerTrainer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        remove(self._client, self.container)
        self._let_go()
        self._client.close()

    def next_message(self, timeout_seconds: float) -> dict[str, Any] | None:
        """See `Trainer`."""
        return self._output.next_message(timeout_seconds)

    @property
    def is_over(self) -> bool:
        """Whether its output has ended and was read; `end` then says how the container ended."""
        return not self._reader.is_alive() and self._output.is_empty

    @property
    def last_noise(self) -> Sequence[str]:
        """The last lines of its standard error."""
        return list(self._output.last_noise)

    def cpu_seconds(self) -> float:
        """CPU time of the whole container; the last known one while the engine does not answer."""
        try:
            found = self._client.stats(self.container, stream=False, one_shot=True)
            used = found["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
            # The engine counts nothing for a container that has just ended.
            self._cpu_seconds = max(self._cpu_seconds, used)
        except (*ENGINE_ERRORS, KeyError) as error:
            log.warning("the container's CPU time is not known now: %s", error)
        return self._cpu_seconds

    def ask_to_stop(self) -> None:
        """SIGTERM to the container's first process."""
        self._signal("SIGTERM")

    def kill(self) -> None:
        """SIGKILL to everything in the container."""
        self._signal("SIGKILL")

    def end(self, grace_seconds: float) -> Ended:
        """Stop the container for certain and say how it ended.

        Raises `DockerUnavailable` if the engine cannot tell any more.
        """
        if self._reader.is_alive():
            self.ask_to_stop()
            self._reader.join(timeout=grace_seconds)
        if self._reader.is_alive():
            self.kill()
            self._reader.join(timeout=_SETTLE_SECONDS)
        return ended(self._wait_for_exit())

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):  # it is closed on the other side already
            self._stream.shutdown(socket.SHUT_RDWR)
        self._reader.join(timeout=5)
        self._stream.close()
        self._answer._response.close()  # the client hangs the connection's owner on its stream

    def _wait_for_exit(self) -> dict[str, Any]:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            try:
                state: dict[str, Any] = self._client.inspect_container(self.container)["State"]
            except NotFound:
                return {"ExitCode": 128 + signal.SIGKILL}  # somebody removed it by force
            except ENGINE_ERRORS as error:
                raise DockerUnavailable(url=engine_url(), why=str(known(error))) from error
            if not state.get("Running"):
                return state
            if time.monotonic() > deadline:
                why = "it lost the connection to a container that still ran"
                raise DockerUnavailable(url=engine_url(), why=why)
            time.sleep(0.05)

    def _signal(self, name: str) -> None:
        try:
            self._client.kill(self.container, name)
        except APIError as error:
            # 404 and 409 say that it is gone or has ended, which is what was wanted.
            if error.status_code not in (404, 409):
                raise known(error) from error
        except ENGINE_ERRORS as error:
            raise known(error) from error

    def _read(self) -> None:
        messages, noise = Lines(), Lines()
        try:
            # The stubs give this call no types.
            frames = frames_iter(self._stream, tty=False)  # type: ignore[no-untyped-call]
            for stream, piece in frames:
                if stream == _STDOUT:
                    for line in messages.add(piece):
                        self._output.add_message(line)
                else:
                    for line in noise.add(piece):
                        self._output.add_noise(line)
        except OSError as error:
            log.warning("the container's output broke off: %s", error)
        for line in messages.rest():
            self._output.add_message(line)
        for line in noise.rest():
            self._output.add_noise(line)


def remove(client: docker.APIClient, container: str) -> bool:
    """Kill and remove a container with its volumes; False if it has to be left to the sweep."""
    try:
        client.remove_container(container, force=True, v=True)
    except NotFound:
        return True
    except APIError as error:
        if error.status_code == 409:  # somebody else is removing it right now
            return True
        log.warning("the container is left to the sweep: %s", error)
        return False
    except ENGINE_ERRORS as error:
        log.warning("the container is left to the sweep: %s", error)
        return False
    return True


def ended(state: dict[str, Any]) -> Ended:
    """How a container ended, by what the engine notes of its state."""
    status = int(state.get("ExitCode") or 0)
    # A shell's way of saying "ended by signal N" is 128 + N; the supervisor's is -N.
    signalled = -(status - 128) if 128 < status < 128 + 65 else status
    return Ended(signalled, out_of_memory=bool(state.get("OOMKilled")) and status != 0)


def _attach(client: docker.APIClient, container: str) -> tuple[Any, socket.socket]:
    """The client's stream and a socket of our own over the same connection.

    The client's object can be read but not shut down, and a reader that waits has to be woken.
    """
    wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    answer = client.attach_socket(container, params=wanted)
    stream = socket.socket(fileno=os.dup(answer.fileno()))
    stream.settimeout(None)
    return answer, stream
