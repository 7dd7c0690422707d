"""How datasets are curated and adapters trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from academy.settings import forms
from academy.settings.rules import WORDS, folder, setting


@dataclass(frozen=True)
class Models:
    """The base models."""

    folders: tuple[Path, ...] = setting(
        "ACADEMY_MODELS",
        (),
        "folders with base models, separated by ':'; empty: HOME/models and ~/.cache/academy",
        separator=":",
        element=folder,
    )
    base: str = setting(
        "ACADEMY_BASE_MODEL",
        "smollm2-135m-instruct",
        "base model when a request names none",
        also=("DEFAULT_BASE_MODEL",),
    )


@dataclass(frozen=True)
class Git:
    """The repositories whose history is curated."""

    roots: tuple[Path, ...] = setting(
        "ACADEMY_REPO_ROOTS",
        (),
        "folders, separated by ':', in which repositories may lie; empty: working directory",
        separator=":",
        element=folder,
        also=("WORKSPACE_ROOT",),
    )
    remotes: bool = setting(
        "ACADEMY_ALLOW_GIT_REMOTES",
        False,
        "true lets a curation fetch repositories over https and ssh",
    )
    remote_seconds: float = setting(
        "ACADEMY_GIT_REMOTE_SECONDS",
        900.0,
        "longest time for fetching one remote repository",
        low=1,
    )


@dataclass(frozen=True)
class Professor:
    """When the Professor suggests a training."""

    min_lessons: int = setting(
        "ACADEMY_MIN_LESSONS",
        100,
        "lessons before the Professor suggests a training",
        low=1,
        also=("MIN_LESSONS_FOR_TRAINING",),
    )
    interval_hours: float = setting(
        "ACADEMY_TRAINING_INTERVAL_HOURS",
        24.0,
        "hours between two trainings that the Professor suggests",
        low=0,
        high=1_000_000,
        also=("MIN_TRAINING_INTERVAL_HOURS",),
    )


@dataclass(frozen=True)
class Curation:
    """What a curation reads when its request does not say."""

    max_lessons: int = setting(
        "ACADEMY_MAX_LESSONS",
        200,
        "newest lessons that a curation reads when its request names no lessons_limit",
        low=0,
        high=1_000_000,
    )
    git_commits_limit: int = setting(
        "ACADEMY_GIT_COMMITS_LIMIT",
        100,
        "newest commits of each repository that it keeps when its request names no "
        "git_commits_limit",
        low=0,
        high=1_000_000,
    )


@dataclass(frozen=True)
class Training:
    """What a training is started with, and how."""

    lora_rank: int = setting(
        "ACADEMY_LORA_RANK",
        16,
        "rank when neither a request nor its preset names one",
        low=1,
        high=512,
        also=("DEFAULT_LORA_RANK",),
    )
    learning_rate: float = setting(
        "ACADEMY_LEARNING_RATE",
        2e-4,
        "learning rate when neither a request nor its preset names one",
        low=1e-12,
        high=0.1,
        also=("DEFAULT_LEARNING_RATE",),
    )
    num_epochs: int = setting(
        "ACADEMY_NUM_EPOCHS",
        3,
        "passes over the rows when neither a request nor its preset names them",
        low=1,
        high=100,
        also=("DEFAULT_NUM_EPOCHS",),
    )

    min_rows: int = setting(
        "ACADEMY_MIN_TRAIN_ROWS", 8, "training rows below which a dataset is too small", low=1
    )
    command: tuple[str, ...] = setting(
        "ACADEMY_TRAINER_COMMAND",
        ("python", "-m", "academy.trainer"),
        "the program that trains, split like a shell's words; python is the worker's own",
        separator=WORDS,
    )
    launcher: str = setting(
        "ACADEMY_LAUNCHER",
        "native",
        "how trainings start that name no launcher: native (a process) or docker (a container)",
        choices=("native", "docker"),
    )
    fallback: tuple[str, ...] = setting(
        "ACADEMY_LAUNCHER_FALLBACK",
        (),
        "what may take the place of a container that cannot be had, separated by ',': cpu (one "
        "without GPUs), native (a process); empty: nothing, the job fails",
        choices=("cpu", "native"),
        separator=",",
    )
    memory_bytes: int = setting(
        "ACADEMY_TRAINER_MEMORY_BYTES",
        0,
        "most memory of a trainer; 0: no limit (see docs/training.md, Launchers)",
        low=0,
    )
    cpu_seconds: float = setting(
        "ACADEMY_TRAINER_CPU_SECONDS", 0.0, "most CPU time of a trainer; 0: no limit", low=0
    )


@dataclass(frozen=True)
class Docker:
    """The containers that train."""

    image: str = setting(
        "ACADEMY_DOCKER_IMAGE",
        "academy:local",
        "image of the containers that train, present on the worker's host",
        also=("ACADEMY_TRAINING_IMAGE", "TRAINING_IMAGE"),
    )
    images: tuple[str, ...] = setting(
        "ACADEMY_DOCKER_IMAGES",
        (),
        "further images that requests may name, patterns separated by ','; empty: none",
        separator=",",
    )
    command: tuple[str, ...] = setting(
        "ACADEMY_DOCKER_COMMAND",
        ("python3", "-m", "academy.trainer"),
        "the program that trains inside a container",
        separator=WORDS,
    )
    mounts: tuple[str, ...] = setting(
        "ACADEMY_DOCKER_MOUNTS",
        (),
        "further read-only mounts, /of/the/host:/in/the/container, separated by ','",
        separator=",",
        form=forms.mount,
    )
    user: str = setting(
        "ACADEMY_DOCKER_USER",
        "10001:10001",
        "uid:gid inside a container where the worker is root; else the worker's own",
        form=forms.numeric_user,
    )
    network: str = setting(
        "ACADEMY_DOCKER_NETWORK",
        "",
        "Docker network for trainings that ask for one; empty: none may have a network",
    )
    cpus: int = setting("ACADEMY_DOCKER_CPUS", 0, "CPUs of a container; 0: no limit", low=0)
    pids: int = setting(
        "ACADEMY_DOCKER_PIDS", 1024, "most processes and threads in a container", low=16
    )
    shm_bytes: int = setting(
        "ACADEMY_DOCKER_SHM_BYTES", 1 << 30, "shared memory of a container", low=1 << 20
    )
    tmp_bytes: int = setting(
        "ACADEMY_DOCKER_TMP_BYTES",
        2 << 30,
        "size of /tmp in a container; it counts as memory",
        low=1 << 20,
    )
    timeout_seconds: float = setting(
        "ACADEMY_DOCKER_TIMEOUT_SECONDS",
        30.0,
        "longest wait for an answer of the Docker engine",
        low=1,
    )
