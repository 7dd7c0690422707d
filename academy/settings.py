"""One frozen `Settings`, read from ``ACADEMY_*`` at entry points only.

Every field is a setting: the field ``lease_seconds`` is read from ``ACADEMY_LEASE_SECONDS``. Its
`setting()` carries the sentence that the README's table shows. Standard library only.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from academy.errors import BadSetting


def setting(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of `Settings` with its default, its sentence and its allowed range (inclusive).

    `choices` are the words that it may be, where not every one will do.
    """
    return field(
        default=default, metadata={"doc": doc, "low": low, "high": high, "choices": choices}
    )


@dataclass(frozen=True)
class Settings:
    """How this installation of Academy is set up. Paths are absolute once read."""

    home: Path = setting(Path(".academy"), "folder for everything that Academy writes")
    host: str = setting("127.0.0.1", "address that the API listens on")
    port: int = setting(8000, "port that the API listens on", low=1, high=65535)
    database_url: str = setting(
        "", "PostgreSQL of your own (postgresql://…); empty: the embedded one under the home"
    )
    redis_url: str = setting(
        "", "Redis or Valkey of your own (redis://…); empty: the embedded one under the home"
    )
    artifacts: str = setting("", "artifact store: a folder or an fsspec URL; empty: HOME/artifacts")
    artifact_grace_seconds: float = setting(
        7 * 86400.0,
        "age at which what nobody names any more leaves the artifact store, checkpoints of jobs "
        "that are over among it",
        low=1,
    )
    models: str = setting(
        "", "folders with base models, separated by ':'; empty: HOME/models and ~/.cache/academy"
    )
    base_model: str = setting("smollm2-135m-instruct", "base model when a request names none")
    trainer_command: str = setting(
        "python -m academy.trainer",
        "the program that trains, split like a shell's words; python is the worker's own",
    )
    launcher: str = setting(
        "native",
        "how trainings start that name no launcher: native (a process) or docker (a container)",
        choices=("native", "docker"),
    )
    launcher_fallback: str = setting(
        "",
        "what may take the place of a container that cannot be had, separated by ',': cpu (one "
        "without GPUs), native (a process); empty: nothing, the job fails",
        choices=("cpu", "native", "cpu,native", "native,cpu"),
    )
    trainer_memory_bytes: int = setting(
        0, "most memory of a trainer; 0: no limit (see docs/training.md, Launchers)", low=0
    )
    trainer_cpu_seconds: float = setting(0.0, "most CPU time of a trainer; 0: no limit", low=0)
    docker_image: str = setting(
        "academy:local", "image of the containers that train, present on the worker's host"
    )
    docker_images: str = setting(
        "", "further images that requests may name, patterns separated by ','; empty: none"
    )
    docker_command: str = setting(
        "python3 -m academy.trainer", "the program that trains inside a container"
    )
    docker_mounts: str = setting(
        "", "further read-only mounts, /of/the/host:/in/the/container, separated by ','"
    )
    docker_user: str = setting(
        "10001:10001", "uid:gid inside a container where the worker is root; else the worker's own"
    )
    docker_network: str = setting(
        "", "Docker network for trainings that ask for one; empty: none may have a network"
    )
    docker_cpus: int = setting(0, "CPUs of a container; 0: no limit", low=0)
    docker_pids: int = setting(1024, "most processes and threads in a container", low=16)
    docker_shm_bytes: int = setting(1 << 30, "shared memory of a container", low=1 << 20)
    docker_tmp_bytes: int = setting(
        2 << 30, "size of /tmp in a container; it counts as memory", low=1 << 20
    )
    docker_timeout_seconds: float = setting(
        30.0, "longest wait for an answer of the Docker engine", low=1
    )
    repo_roots: str = setting(
        "", "folders, separated by ':', in which repositories may lie; empty: working directory"
    )
    allow_git_remotes: int = setting(
        0, "1 lets a curation fetch repositories over https and ssh", low=0, high=1
    )
    git_remote_seconds: float = setting(
        900.0, "longest time for fetching one remote repository", low=1
    )
    api_key: str = setting("", "key that the CLI sends; empty: HOME/admin.key")
    url: str = setting("", "address of the API for the CLI; empty: that of the running home")
    runtime_url: str = setting(
        "http://127.0.0.1:8100", "addresses of the model servers, separated by ','"
    )
    log_level: str = setting("INFO", "DEBUG, INFO, WARNING or ERROR")
    max_body_bytes: int = setting(16 << 20, "largest request body", low=1024)
    max_upload_bytes: int = setting(512 << 20, "largest uploaded file", low=1024)
    min_lessons: int = setting(100, "lessons before the Professor suggests a training", low=1)
    min_train_rows: int = setting(8, "training rows below which a dataset is too small", low=1)
    training_interval_hours: float = setting(
        24.0, "hours between two trainings that the Professor suggests", low=0
    )
    lease_seconds: float = setting(
        60.0, "time after which a silent worker's job is given to another", low=0.5
    )
    heartbeat_seconds: float = setting(
        10.0, "interval at which a worker renews its lease", low=0.05
    )
    keeper_seconds: float = setting(5.0, "interval of the keeper's sweeps", low=0.05)
    hint_seconds: float = setting(
        20.0, "age at which the keeper publishes a queued job's hint again", low=0.1
    )
    cancel_grace_seconds: float = setting(
        10.0, "time between SIGTERM and SIGKILL for a process that is asked to stop", low=0.1
    )
    pause_grace_seconds: float = setting(
        120.0, "time that a trainer has to write its checkpoint when it is paused or drained", low=1
    )
    job_timeout_seconds: float = setting(
        172800.0, "longest wall-clock time of one attempt of a job", low=1
    )
    blind_seconds: float = setting(
        900.0, "time that a trainer goes on while Postgres cannot be reached", low=1
    )
    wide_wait_seconds: float = setting(
        300.0, "wait after which a host keeps its free GPUs for a job of several GPUs", low=0
    )
    foreign_gpu_bytes: int = setting(
        0, "memory that processes of others may hold on a GPU that takes jobs", low=0
    )
    host_name: str = setting(
        "", "name of this worker's host among the others'; empty: the machine's own"
    )
    gang_address: str = setting(
        "",
        "IP address at which the trainers of other hosts reach this host's; empty: the one from "
        "which it talks to PostgreSQL",
    )
    gang_seconds: float = setting(
        600.0,
        "time in which the hosts of one training have to have its files; else it is tried again",
        low=1,
    )
    max_crashes: int = setting(
        3, "crashes without checkpoint progress after which a job fails", low=1, high=100
    )
    retry_seconds: float = setting(
        5.0, "first back-off before a retry; doubles each time, with jitter", low=0
    )
    tick_seconds: float = setting(
        0.1, "interval at which live events are sent to watchers", low=0.01, high=5
    )
    ping_seconds: float = setting(20.0, "interval of keep-alive pings to watchers", low=0.1)
    archive_seconds: float = setting(5.0, "longest time until events reach the archive", low=0.05)
    stream_grace_seconds: float = setting(
        3600.0, "time that a finished job's live stream is kept in Redis", low=1
    )
    postgres_timeout_seconds: float = setting(
        10.0, "longest wait for a connection to PostgreSQL", low=0.5
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Read the settings from ``ACADEMY_*``; `overrides` win.

        Raises `BadSetting`, which names the variable, its value and what is allowed.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for each in dataclasses.fields(cls):
            variable = f"ACADEMY_{each.name.upper()}"
            if each.name in overrides:
                values[each.name] = overrides[each.name]
            elif environ.get(variable, "") != "":
                values[each.name] = _parse(variable, environ[variable], each)
        values["home"] = Path(values.get("home", cls.home)).expanduser().absolute()
        return cls(**values)

    @property
    def artifacts_url(self) -> str:
        """Where datasets, checkpoints and adapters go."""
        return self.artifacts or str(self.home / "artifacts")

    @property
    def model_folders(self) -> list[Path]:
        """The folders in which a base model is looked for, in order."""
        if self.models:
            return [Path(each).expanduser().absolute() for each in self.models.split(":") if each]
        return [self.home / "models", Path("~/.cache/academy/models").expanduser()]

    @property
    def runtime_urls(self) -> list[str]:
        """The addresses of the model servers."""
        return [url.strip().rstrip("/") for url in self.runtime_url.split(",") if url.strip()]

    @property
    def allowed_repo_roots(self) -> list[Path]:
        """The folders that repositories and uploads named by path may lie in."""
        if self.repo_roots:
            return [Path(each).expanduser().resolve() for each in self.repo_roots.split(":")]
        return [Path.cwd().resolve()]

    def environ(self) -> dict[str, str]:
        """The ``ACADEMY_*`` variables that give another process these same settings."""
        return {
            f"ACADEMY_{each.name.upper()}": str(getattr(self, each.name))
            for each in dataclasses.fields(self)
            if getattr(self, each.name) != each.default
        }


def _parse(variable: str, text: str, each: dataclasses.Field[Any]) -> Any:
    kind: type[str | int | float | Path] = type(getattr(Settings, each.name))
    low, high = each.metadata["low"], each.metadata["high"]
    try:
        value = kind(text)
    except ValueError:
        noun = {int: "a whole number", float: "a number"}.get(kind, kind.__name__)
        raise BadSetting(name=variable, value=text, allowed=noun) from None
    choices = each.metadata["choices"]
    if choices and text not in choices:
        raise BadSetting(name=variable, value=text, allowed=" or ".join(choices))
    if isinstance(value, int | float):
        if not math.isfinite(value) or (low is not None and value < low):
            raise BadSetting(name=variable, value=text, allowed=f"a number of at least {low}")
        if high is not None and value > high:
            raise BadSetting(name=variable, value=text, allowed=f"a number of at most {high}")
    return value
