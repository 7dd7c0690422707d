"""The Docker engine of this host: connecting, what it has, and what its errors mean.

Every call has the time-out of the client. Bind mounts name folders of this host, so the engine has
to be this host's own.
"""

from __future__ import annotations

import contextlib
import getpass
import math
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError, DockerException, ImageNotFound
from docker.utils import kwargs_from_env, version_lt

import docker
from academy.errors import AcademyError
from academy.logs import cause_chain
from academy.settings import Settings
from academy.training.launchers.errors import (
    ContainerRefused,
    DockerForbidden,
    DockerUnavailable,
    ImageMissing,
    NvidiaRuntimeMissing,
)

_NVIDIA_HOOK = "nvidia-container-runtime-hook"
_SOCKET = "/var/run/docker.sock"
#: Docker 20.10; earlier ones cannot be given GPUs by UUID together with one-shot statistics.
_OLDEST_API = "1.41"

#: Whatever the client raises: refusals by the engine, and failures to reach it.
ENGINE_ERRORS = (DockerException, requests.exceptions.RequestException, OSError)


def engine_url() -> str:
    """The engine's address: ``DOCKER_HOST``, else the usual socket."""
    return os.environ.get("DOCKER_HOST") or f"unix://{_SOCKET}"


def has_socket() -> bool:
    """Whether there is an engine to ask at all; quick, and true for one that is reached by TCP."""
    url = engine_url()
    return not url.startswith("unix://") or Path(url.removeprefix("unix://")).exists()


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[docker.APIClient]:
    """A client of the engine, closed at the end.

    Raises `DockerUnavailable` or `DockerForbidden`.
    """
    client = connect(settings)
    try:
        yield client
    finally:
        client.close()


def connect(settings: Settings) -> docker.APIClient:
    """A client of the engine, to be closed. Raises `DockerUnavailable` or `DockerForbidden`."""
    _knock(settings.docker.timeout_seconds)
    spoken = _version_of(settings)
    if version_lt(spoken, _OLDEST_API):
        why = f"it speaks API {spoken}, but {_OLDEST_API} (Docker 20.10) is needed"
        raise DockerUnavailable(url=engine_url(), why=why)
    return _client(settings, spoken)


def _version_of(settings: Settings) -> str:
    """The newest API that the engine speaks. The client could ask by itself, but would then keep
    its connection to an engine that does not answer."""
    try:
        client = _client(settings, _OLDEST_API)
        try:
            return str(client.version(api_version=False)["ApiVersion"])
        finally:
            client.close()
    except ENGINE_ERRORS as error:
        raise known(error) from error


def _client(settings: Settings, version: str) -> docker.APIClient:
    seconds = math.ceil(settings.docker.timeout_seconds)
    return docker.APIClient(version=version, timeout=seconds, **kwargs_from_env())


def _knock(timeout_seconds: float) -> None:
    """Open the engine's socket once; the client's own errors bury what the system said about it."""
    url = engine_url()
    if not url.startswith("unix://"):
        return
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(timeout_seconds)
        try:
            door.connect(url.removeprefix("unix://"))
        except FileNotFoundError as error:
            raise DockerUnavailable(url=url, why="there is no such socket") from error
        except PermissionError as error:
            raise DockerForbidden(url=url, user=_user()) from error
        except OSError as error:
            raise DockerUnavailable(url=url, why=str(error)) from error


def image_id(client: docker.APIClient, image: str) -> str:
    """The content id of an image of this host. Raises `ImageMissing`; nothing is pulled."""
    try:
        # The stubs give this call no types.
        found: dict[str, Any] = client.inspect_image(image)  # type: ignore[no-untyped-call]
    except ImageNotFound as error:
        raise ImageMissing(image=image) from error
    except ENGINE_ERRORS as error:
        raise known(error) from error
    return str(found["Id"])


def has_nvidia_runtime(client: docker.APIClient) -> bool:
    """Whether containers can most likely be given GPUs; surely only a start can tell.

    The engine hands GPUs over through the hook of NVIDIA's container toolkit, with or without the
    toolkit's runtime.
    """
    try:
        info: dict[str, Any] = client.info()
    except ENGINE_ERRORS as error:
        raise known(error) from error
    return "nvidia" in (info.get("Runtimes") or {}) or shutil.which(_NVIDIA_HOOK) is not None


def known(error: Exception) -> AcademyError:
    """The error of ours that an error of the client stands for."""
    if isinstance(error, AcademyError):
        return error
    if isinstance(error, APIError) and "could not select device driver" in str(error):
        return NvidiaRuntimeMissing()
    if isinstance(error, APIError) and error.response is not None:
        return ContainerRefused(why=str(error.explanation or error).strip())
    return DockerUnavailable(url=engine_url(), why=cause_chain(error))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())  # a user id without an entry, as containers have
