"""`academy doctor`: all checks at once, each with a time-out, as a table or as JSON."""

from __future__ import annotations

import dataclasses
import json
import threading
import time

import typer

from academy.cli.doctor.checks import CHECKS, Check
from academy.cli.doctor.findings import Finding, State
from academy.logs import cause_chain
from academy.settings import Settings

_CHECK_SECONDS = 15.0
_PIPE_WIDTH = 1 << 16
_COLOURS = {State.OK: "green", State.MISSING: "yellow", State.BROKEN: "red"}


def print_report(settings: Settings, *, as_json: bool) -> bool:
    """Run the checks and print them; whether everything that is necessary is in order."""
    findings = examine(settings)
    healthy = all(each.state is State.OK for each in findings if each.necessary)
    if as_json:
        lines = [dataclasses.asdict(each) for each in findings]
        typer.echo(json.dumps({"healthy": healthy, "checks": lines}, indent=2))
    else:
        _print_table(findings, healthy)
    return healthy


def examine(settings: Settings, timeout_seconds: float = _CHECK_SECONDS) -> list[Finding]:
    """Every check's finding, in order. One that hangs or fails is itself a finding."""
    found: dict[str, Finding] = {}

    def look(name: str, check: Check) -> None:
        try:
            found[name] = check(settings)
        except Exception as error:
            detail = cause_chain(error)
            found[name] = Finding(name, State.BROKEN, detail, "See the message.", necessary=True)

    threads = [
        # A thread cannot be ended; as daemons, hanging ones do not keep the command from ending.
        threading.Thread(target=look, args=each, daemon=True)
        for each in CHECKS
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    silent = f"no answer within {timeout_seconds:g} s"
    todo = "Find out why it hangs; a network file system or a firewall are usual."
    return [
        found.get(name) or Finding(name, State.BROKEN, silent, todo, necessary=True)
        for name, _ in CHECKS
    ]


def _print_table(findings: list[Finding], healthy: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("check", "state", "found", "what to do"):
        table.add_column(title, overflow="fold")
    for each in findings:
        colour = _COLOURS[each.state]
        state = f"[{colour}]{each.state}[/{colour}]"
        table.add_row(each.name, state, escape(each.detail), escape(each.todo))
    console = Console()
    if not console.is_terminal:
        # Programs that read it want a row on one line, however long a sentence in it is.
        console = Console(width=_PIPE_WIDTH)
    console.print(table)
    if not healthy:
        console.print("[red]Something that Academy needs is not in order.[/red]")
