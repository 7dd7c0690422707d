"""The single processes of Academy, each in the place of this command (exec)."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from typing import Annotated, NoReturn

import typer

from academy.cli.arguments import AsJson, ErrorAsJson
from academy.settings import Settings


class Queue(StrEnum):
    GPU = "gpu"
    CURATION = "curation"


def migrate(as_json: AsJson = False) -> None:
    """Bring the database schema up to date, and make the first admin key."""
    from academy import logs
    from academy.access.keys import bootstrap_admin_key
    from academy.embedded.postgres import embedded_postgres_url
    from academy.store.migrate import upgrade

    settings = Settings.from_env()
    if not settings.postgres.url:
        url = embedded_postgres_url(settings.home / "postgres")
        settings = settings.changed(database_url=url)
    logs.setup("migrate", settings.log_level)
    state = upgrade(settings.postgres.url)
    key = bootstrap_admin_key(settings)
    if as_json:
        typer.echo(json.dumps({"revision": state.current, "admin_key": str(key)}))
    else:
        typer.echo(f"The schema is at revision {state.current}.")
        typer.echo(f"The admin key lies in {key}.")


def api(as_json: ErrorAsJson = False) -> None:
    """Serve the HTTP API, the dashboard and the gateway."""
    _become(_with_servers(Settings.from_env()), "academy.api")


def worker(
    queue: Annotated[Queue, typer.Option(help="The queue to work on.")],
    slots: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Jobs at the same time, each in a process; empty: one, or one for each GPU. Fewer "
            "than GPUs deal them out.",
        ),
    ] = None,
    as_json: ErrorAsJson = False,
) -> None:
    """Work on one queue: curation on CPUs, training on GPUs. Ends by SIGTERM or when drained."""
    settings = _with_servers(Settings.from_env())
    from academy.embedded.programs import worker_programs

    programs = worker_programs(settings, queue.value, slots)
    if len(programs) == 1:
        os.environ.update(programs[0].env)
        _become(settings, "workers", queue.value)
    from academy import logs
    from academy.embedded.process_set import ProcessSet, StopSignals

    logs.setup("workers", settings.log_level)
    with StopSignals() as signals:
        processes = ProcessSet(lambda line: typer.echo(line, err=True), signals)
        try:
            processes.start(programs)
            processes.watch()
        finally:
            processes.stop()


def keeper(as_json: ErrorAsJson = False) -> None:
    """Publish hints, end dead leases, run the schedule. Run as many as you like."""
    _become(_with_servers(Settings.from_env()), "workers.keeper")


def runtime(
    model: Annotated[
        str | None, typer.Option(help="Base model: its name; empty: ACADEMY_BASE_MODEL.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8100,
    as_json: ErrorAsJson = False,
) -> None:
    """Serve one base model and its adapters over OpenAI's chat API."""
    from academy.basemodels import folders
    from academy.embedded.programs import runtime_arguments

    settings = Settings.from_env()
    settings.require_enabled()
    found = folders.find(model or settings.models.base, settings.model_folders)
    _become(settings, "academy.runtime", *runtime_arguments(settings, found, host, port))


def _become(settings: Settings, module_name: str, *arguments: str) -> NoReturn:
    """Replace this process, so that signals and the exit status go straight to the real one."""
    from academy.embedded.programs import environment, module

    command = module(module_name, *arguments)
    os.execve(command[0], command, environment(settings))


def _with_servers(settings: Settings) -> Settings:
    """With the addresses of the home's running embedded servers where none are set."""
    from academy.embedded.postgres import embedded_postgres_url
    from academy.embedded.runfile import running
    from academy.embedded.valkey import embedded_valkey_url

    settings.require_enabled()
    home = settings.home
    run = running(home)
    if settings.serving.is_auto and run is not None and "runtime" in run.ports:
        settings = settings.changed(runtime_url=(f"http://127.0.0.1:{run.ports['runtime']}",))
    return settings.changed(
        database_url=settings.postgres.url or embedded_postgres_url(home / "postgres"),
        redis_url=settings.redis.url or embedded_valkey_url(home / "valkey"),
    )
