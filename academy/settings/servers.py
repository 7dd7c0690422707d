"""What this installation listens on and which servers it talks to."""

from __future__ import annotations

from dataclasses import dataclass

from academy.settings import forms
from academy.settings.rules import setting


def _address(text: str) -> str:
    plain = text.rstrip("/")
    return text if plain.endswith(":") else plain  # "http://" is to be refused as it was written


@dataclass(frozen=True)
class Api:
    """The HTTP API and those who call it."""

    host: str = setting(
        "ACADEMY_HOST", "127.0.0.1", "address that the API listens on", form=forms.host
    )
    port: int = setting("ACADEMY_PORT", 8000, "port that the API listens on", low=1, high=65535)
    processes: int = setting(
        "ACADEMY_API_PROCESSES",
        1,
        "processes of the API that share its port, beside the one for large bodies",
        low=1,
        high=64,
    )
    key: str = setting("ACADEMY_API_KEY", "", "key that the CLI sends; empty: HOME/admin.key")
    url: str = setting(
        "ACADEMY_URL", "", "address of the API for the CLI; empty: that of the running home"
    )
    max_body_bytes: int = setting(
        "ACADEMY_MAX_BODY_BYTES", 16 << 20, "largest request body", low=1024
    )
    max_upload_bytes: int = setting(
        "ACADEMY_MAX_UPLOAD_BYTES", 512 << 20, "largest uploaded file", low=1024
    )


@dataclass(frozen=True)
class Postgres:
    """The database, which is the truth about every job."""

    url: str = setting(
        "ACADEMY_DATABASE_URL",
        "",
        "PostgreSQL of your own (postgresql://…); empty: the embedded one under the home",
        form=forms.database,
    )
    timeout_seconds: float = setting(
        "ACADEMY_POSTGRES_TIMEOUT_SECONDS",
        10.0,
        "longest wait for a connection to PostgreSQL",
        low=0.5,
    )


@dataclass(frozen=True)
class Redis:
    """The broker of hints and the live part of the events."""

    url: str = setting(
        "ACADEMY_REDIS_URL",
        "",
        "Redis or Valkey of your own (redis://…); empty: the embedded one under the home",
    )


@dataclass(frozen=True)
class Artifacts:
    """Where datasets, checkpoints and adapters are kept."""

    url: str = setting(
        "ACADEMY_ARTIFACTS", "", "artifact store: a folder or an fsspec URL; empty: HOME/artifacts"
    )
    grace_seconds: float = setting(
        "ACADEMY_ARTIFACT_GRACE_SECONDS",
        7 * 86400.0,
        "age at which what nobody names any more leaves the artifact store, checkpoints of jobs "
        "that are over among it",
        low=1,
    )


@dataclass(frozen=True)
class Serving:
    """The model servers behind the gateway."""

    urls: tuple[str, ...] = setting(
        "ACADEMY_RUNTIME_URL",
        ("auto",),
        "addresses of the model servers, separated by ','; one of another kind than Academy's own "
        "says it: vllm+http://HOST:PORT; auto: the one that academy up starts, or else "
        "http://127.0.0.1:8100, where academy runtime listens; ',' alone: none",
        separator=",",
        element=_address,
    )
    api_key: str = setting(
        "ACADEMY_RUNTIME_API_KEY",
        "",
        "key that vLLM servers were started with (--api-key); empty: none",
    )

    @property
    def is_auto(self) -> bool:
        """Whether nobody said which model servers there are."""
        return self.urls == ("auto",)


@dataclass(frozen=True)
class Events:
    """The live events of jobs and their archive, and what changed."""

    tick_seconds: float = setting(
        "ACADEMY_TICK_SECONDS",
        0.1,
        "interval at which live events are sent to watchers",
        low=0.01,
        high=5,
    )
    ping_seconds: float = setting(
        "ACADEMY_PING_SECONDS", 20.0, "interval of keep-alive pings to watchers", low=0.1
    )
    watchers: int = setting(
        "ACADEMY_WATCHERS",
        10_000,
        "event streams (websockets and server-sent events) that one API process has open at once",
        low=1,
    )
    watchers_each: int = setting(
        "ACADEMY_WATCHERS_EACH", 5000, "of these, with one key, and from one address", low=1
    )
    archive_seconds: float = setting(
        "ACADEMY_ARCHIVE_SECONDS", 5.0, "longest time until events reach the archive", low=0.05
    )
    log_bytes: int = setting(
        "ACADEMY_LOG_BYTES",
        100 << 20,
        "size of a job's log behind which further lines are left out and counted",
        low=1 << 10,
    )
    stream_grace_seconds: float = setting(
        "ACADEMY_STREAM_GRACE_SECONDS",
        3600.0,
        "time that a finished job's live stream is kept in Redis",
        low=1,
    )
    log_days: int = setting(
        "ACADEMY_LOG_DAYS",
        0,
        "days for which logs of jobs that are over are kept; ends and figures stay; 0: for ever",
        low=0,
        high=36_500,
    )
    changes_days: int = setting(
        "ACADEMY_CHANGES_DAYS",
        7,
        "days for which it is kept what changed, for whoever follows it",
        low=1,
        high=3650,
    )
