"""`academy doctor`: all checks at once, each with a time-out, as a report or as JSON."""

from __future__ import annotations

import dataclasses
import json
import threading
import time

import typer

from academy.cli.doctor.checks import CHECKS
from academy.cli.doctor.findings import Check, Finding, State
from academy.logs import cause_chain
from academy.settings import Settings

_CHECK_SECONDS = 15.0
_COLOURS = {State.OK: "green", State.MISSING: "yellow", State.BROKEN: "red"}


def print_report(settings: Settings, *, as_json: bool) -> bool:
    """Run the checks and print them; whether everything that is necessary is in order."""
    findings = examine(settings)
    healthy = all(each.state is State.OK for each in findings if each.necessary)
    if as_json:
        lines = [dataclasses.asdict(each) for each in findings]
        typer.echo(json.dumps({"healthy": healthy, "checks": lines}, indent=2))
    else:
        from academy.cli.output import terminal_width

        for line in report(findings, terminal_width()):
            typer.echo(line)
    return healthy


def examine(settings: Settings, timeout_seconds: float = _CHECK_SECONDS) -> list[Finding]:
    """Every check's findings, in order. One that hangs or fails is itself a finding."""
    found: dict[str, tuple[Finding, ...]] = {}

    def look(check: Check) -> None:
        try:
            found[check.name] = check.look(settings)
        except Exception as error:
            found[check.name] = (failed(check, cause_chain(error), "See the message."),)

    def failed(check: Check, detail: str, todo: str) -> Finding:
        needed = check.necessary(settings)
        return Finding(check.name, State.BROKEN, detail, todo, necessary=needed)

    threads = [
        # A thread cannot be ended; as daemons, hanging ones do not keep the command from ending.
        threading.Thread(target=look, args=[each], daemon=True)
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
        finding
        for check in CHECKS
        for finding in found.get(check.name) or (failed(check, silent, todo),)
    ]


def report(findings: list[Finding], width: int | None) -> list[str]:
    """The findings and the verdict: a block each for a terminal of `width` cells, else a line."""
    from academy.cli.tables import laid_out

    if width is None:
        columns = ("check", "state", "found", "what to do")
        rows = [(each.name, _state(each), each.detail, each.todo) for each in findings]
        return [*laid_out(columns, rows, None, columns[2:]), *_verdict(findings)]
    lines = [line for each in findings for line in _block(each, width)]
    return [*lines, "", *_verdict(findings)]


def _block(finding: Finding, width: int) -> list[str]:
    """What was looked at and its state, then what was found and what to do, indented."""
    from academy.cli.tables import printable, wrapped

    state = typer.style(_state(finding), fg=_COLOURS[finding.state])
    texts = [printable(" ".join(text.split())) for text in (finding.detail, finding.todo) if text]
    lines = [line for text in texts for line in wrapped(text, width - 4)]
    return [f"{printable(finding.name)}: {state}", *(f"    {line}" for line in lines)]


def _state(finding: Finding) -> str:
    is_optional = not finding.necessary and finding.state is not State.OK
    return f"{finding.state} (optional)" if is_optional else finding.state


def _verdict(findings: list[Finding]) -> list[str]:
    wrong = [each for each in findings if each.state is not State.OK]
    needed = ", ".join(each.name for each in wrong if each.necessary)
    optional = ", ".join(each.name for each in wrong if not each.necessary)
    if needed:
        text = f"Something that Academy needs is not in order: {needed}."
        return [typer.style(text, fg="red")]
    said = [typer.style("Everything that Academy needs is in order.", fg="green")]
    return [*said, f"Optional, and not in order: {optional}."] if optional else said
