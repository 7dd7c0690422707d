"""`academy up`, `down` and `doctor`: this machine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from academy.cli.arguments import AsJson
from academy.errors import AcademyError
from academy.settings import Settings

if TYPE_CHECKING:
    from academy.embedded.stack import Ready

_DOWN_SECONDS = 120.0


class DidNotStop(AcademyError):
    """The process {pid} was asked to stop and still runs after {seconds:g} s."""

    code = "did_not_stop"
    next_step = "Look into the logs under the home; `kill -9 PID` ends it and all its processes."


def up(
    host: Annotated[str | None, typer.Option(help="Address that the API listens on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the API; 0 takes a free one.")
    ] = None,
    no_runtime: Annotated[
        bool, typer.Option("--no-runtime", help="Do not start the embedded model server.")
    ] = False,
    gpu_slots: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Trainings at the same time; empty: one for each GPU."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the ready line as one JSON object.")
    ] = False,
) -> None:
    """Start everything on this machine and stay; Ctrl-C stops it.

    PostgreSQL and Valkey come along unless ACADEMY_DATABASE_URL and ACADEMY_REDIS_URL name yours.
    """
    from academy import logs
    from academy.artifacts.store import require_store
    from academy.embedded.program import require_own
    from academy.embedded.stack import Stack
    from academy.events.stream import require_address
    from academy.serving import servers

    settings = Settings.from_env()
    settings.require_enabled()
    servers.check(settings)
    require_address(settings, may_be_empty=True)
    require_store(settings)
    if host is not None:
        settings = settings.changed(host=host)
    if port is not None:
        settings = settings.changed(port=port)
    require_own(settings.api.host)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    log_file = settings.home / "logs" / "up.log"
    log_file.parent.mkdir(exist_ok=True)
    with log_file.open("a") as stream:
        logs.setup("up", settings.log_level, stream)
        stack = Stack(settings, _say, with_runtime=not no_runtime, gpu_slots=gpu_slots)
        stack.run(lambda ready: _announce(settings.home, ready, as_json))


def down(as_json: AsJson = False) -> None:
    """Stop what `academy up` started in this home, and wait until it is gone."""
    from academy.embedded.runfile import request_stop

    settings = Settings.from_env()
    run = request_stop(settings.home)
    answer = {"home": str(settings.home), "stopped": run is not None, "pid": run and run.pid}
    if run is None:
        typer.echo(json.dumps(answer) if as_json else f"Nothing runs in {settings.home}.")
        return
    from academy.host.processes import wait_until_gone

    began = time.monotonic()
    if not wait_until_gone(run.pid, _DOWN_SECONDS):
        raise DidNotStop(pid=run.pid, seconds=_DOWN_SECONDS)
    said = f"Academy (process {run.pid}) stopped after {time.monotonic() - began:.1f} s."
    typer.echo(json.dumps(answer) if as_json else said)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check what Academy needs on this machine, and say what to do about what is missing."""
    from academy.cli.doctor.checkup import print_report

    settings = Settings.from_env()
    if not print_report(settings, as_json=as_json):
        raise typer.Exit(1)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _announce(home: Path, ready: Ready, as_json: bool) -> None:
    """The one ready line; its ticket opens the dashboard once."""
    from academy.client import Client

    with Client(ready.url, _admin_key(home)) as client:
        ticket = client.ticket()
    link = f"{ready.url}/academy?ticket={ticket}"
    if as_json:
        line = {
            "event": "ready",
            "url": ready.url,
            "dashboard": link,
            "home": ready.home,
            "pid": ready.pid,
            "ports": ready.ports,
            "skipped": ready.skipped,
        }
        typer.echo(json.dumps(line))
    else:
        typer.echo(f"Academy is ready: {link}")


def _admin_key(home: Path) -> str:
    from academy.embedded.home import key_of_home

    return key_of_home(home)
