"""Why a container cannot be had; each names what is missing and the way to get it."""

from __future__ import annotations

from academy.errors import AcademyError


class DockerUnavailable(AcademyError):
    """The Docker engine at {url} cannot be used: {why}."""

    code = "docker_unavailable"
    status = 503
    next_step = (
        "Install and start the engine on this worker's host (`systemctl start docker`), or set"
        " DOCKER_HOST; `academy doctor` shows whether it answers."
    )


class DockerForbidden(AcademyError):
    """This worker's user {user!r} may not use the Docker engine at {url}."""

    code = "docker_forbidden"
    status = 503
    next_step = (
        "Let the user into the engine's group (`usermod -aG docker USER`) and start the worker"
        " again. That group can do everything on the host."
    )


class NvidiaRuntimeMissing(AcademyError):
    """The Docker engine cannot give GPUs to containers: it has no NVIDIA runtime."""

    code = "nvidia_runtime_missing"
    status = 503
    next_step = (
        "Install nvidia-container-toolkit on this worker's host, run `nvidia-ctk runtime"
        " configure --runtime=docker`, and restart the engine."
    )


class ImageMissing(AcademyError):
    """The container image {image!r} is not on this worker's host."""

    code = "image_missing"
    status = 503
    next_step = (
        "Build it there (docs/training.md, Launchers) or `docker pull` it; nothing is pulled"
        " silently."
    )


class TrainerMayNotRead(AcademyError):
    """The user {user} of the container may not read {path}."""

    code = "container_refused"
    status = 503
    next_step = (
        "Make it readable (`chmod -R a+rX`), or set ACADEMY_DOCKER_USER to a user who may read it,"
        " or run the worker as another user than root: the container then has the worker's own."
    )


class ContainerRefused(AcademyError):
    """The Docker engine refused the container: {why}."""

    code = "container_refused"
    status = 503
    next_step = "Correct what the engine names: the image, ACADEMY_DOCKER_COMMAND or a mount."
