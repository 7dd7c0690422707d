"""All commands in one place, and how an error reaches the person at the terminal."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from academy import __version__
from academy.cli import (
    adapters,
    data,
    datasets,
    jobs,
    keys,
    local,
    metrics,
    models,
    preflight,
    schedules,
    single,
    status,
    sweeps,
    webhooks,
    workers,
)
from academy.cli.failures import StoppedWaiting, StoppedWatching, tell, tell_usage

app = typer.Typer(
    name="academy",
    help="Turn an agent's daily work into a better model, on hardware of your own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # `main` tells errors in words
)

_HERE = "This machine"
_WORK = "Lessons, data and training"
_SERVE = "Models in use"
_ACCESS = "Access"
_PARTS = "Single processes (docker-compose uses these)"

for command, panel in (
    (local.up, _HERE),
    (local.down, _HERE),
    (local.doctor, _HERE),
    (status.status, _HERE),
    (workers.workers, _HERE),
    (workers.drain, _HERE),
    (workers.shares, _HERE),
    (jobs.train, _WORK),
    (preflight.preflight, _WORK),
    (jobs.submit, _WORK),
    (jobs.kinds, _WORK),
    (jobs.logs, _WORK),
    (metrics.metrics, _WORK),
    (jobs.jobs, _WORK),
    (jobs.cancel, _WORK),
    (jobs.pause, _WORK),
    (jobs.resume, _WORK),
    (models.activate, _SERVE),
    (models.rollback, _SERVE),
    (models.chat, _SERVE),
    (keys.ticket, _ACCESS),
    (single.migrate, _PARTS),
    (single.api, _PARTS),
    (single.worker, _PARTS),
    (single.keeper, _PARTS),
    (single.runtime, _PARTS),
):
    app.command(rich_help_panel=panel)(command)
app.add_typer(data.lessons, name="lessons", rich_help_panel=_WORK)
app.add_typer(datasets.dataset, name="dataset", rich_help_panel=_WORK)
app.add_typer(datasets.dataset, name="datasets", hidden=True)  # the plural, as others have it
app.add_typer(sweeps.sweep, name="sweep", rich_help_panel=_WORK)
app.add_typer(schedules.schedules, name="schedules", rich_help_panel=_WORK)
app.add_typer(adapters.adapters, name="adapters", rich_help_panel=_SERVE)
app.add_typer(keys.keys, name="keys", rich_help_panel=_ACCESS)
app.add_typer(webhooks.webhooks, name="webhooks", rich_help_panel=_ACCESS)


def main() -> None:
    """Run the command line. Errors print what happened and the way out, and exit with 1.

    With ``--json`` they are problems in JSON. A command line that cannot be read exits with 2, a
    command that Ctrl-C ended with 130.
    """
    words = sys.argv[1:]
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before the program began
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    try:
        # Typer itself would tell what is wrong with a command line in a box, and break paths in it.
        status = app(prog_name="academy", standalone_mode=False)
        sys.stdout.flush()  # a full disk shows here, and not when Python is ending
    except TyperException as error:
        context = getattr(error, "ctx", None)
        if message := error.format_message():  # none where help is shown instead
            tell_usage(message, context.command_path if context else "academy", words)
        sys.exit(error.exit_code)
    except typer.Abort:  # the input ended where an answer was wanted
        sys.exit(1)
    except (StoppedWatching, StoppedWaiting) as stop:
        tell(stop, words)
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader (`| head`) has what it wanted
        _give_up_output()
        sys.exit(1)
    except Exception as error:
        tell(error, words)
        try:
            sys.stdout.flush()
        except OSError:
            _give_up_output()
        sys.exit(1)
    sys.exit(status)


def _give_up_output() -> None:
    """What was not written yet goes nowhere, as Python would try it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"academy {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Turn an agent's daily work into a better model, on hardware of your own."""
