"""A job's events on a terminal, with a progress bar, the loss and the ETA, or as plain lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import typer

from academy.cli.watch.bars import Folding, folded
from academy.cli.watch.sentences import line, sentence, summary
from academy.wire.sse_reading import Event

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import TaskID


def show(events: Iterable[Event], *, plain: bool | None = None, containing: str = "") -> str:
    """Print events until they end; the job's last status (empty if none came).

    On a terminal a spinner turns until the first step, metrics move a progress bar, and libraries'
    bars are drawn over; elsewhere (`plain`) each is a line once it is over. With `containing` only
    lines with this text, in any case, are printed.
    """
    plain = not sys.stdout.isatty() if plain is None else plain
    return _show_plain(events, containing) if plain else _show_live(events, containing)


def print_events(events: Iterable[Event]) -> str:
    """Print a job's events as NDJSON, one at a time; its last status (empty if none came).

    Only what is part of the job's record: what has an id.
    """
    from academy.cli.output import print_line

    status = _Status()
    for event in status.of(events):
        if event.id:
            print_line(event.data)
    return status.last


def is_wanted(event: Event, containing: str) -> bool:
    """Whether what the event says has this text, in any case."""
    return containing.casefold() in sentence(event).casefold()


class _Status:
    """Remembers the last status among events that pass by."""

    last = ""

    def of(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            if event.type == "status":
                self.last = str(event.data.get("status") or "")
            yield event


def _show_plain(events: Iterable[Event], containing: str) -> str:
    status = _Status()
    for event in folded(status.of(events)):
        if is_wanted(event, containing) and (said := line(event)):
            typer.echo(said)
    return status.last


def _show_live(events: Iterable[Event], containing: str) -> str:
    from rich.live import Live
    from rich.text import Text

    status, folding, view = _Status(), Folding(), _View()

    def tell(lines: Iterable[Event]) -> None:
        for each in lines:
            if each.type != "metrics" and is_wanted(each, containing) and (said := line(each)):
                # The terminal wraps it, so that it can be copied whole.
                live.console.print(Text(said, no_wrap=True, overflow="ignore"), crop=False)

    with Live(view, refresh_per_second=8) as live:
        try:
            for event in status.of(events):
                view.take(event)
                tell(folding.add(event))
                view.states = folding.states
        finally:
            tell(folding.rest())
            view.end()
    return status.last


class _View:
    """What stands below the lines: a spinner before the first step, then the training's bar."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.spinner import Spinner

        columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
        self._progress = Progress(*columns, auto_refresh=False)
        self._bar: TaskID | None = None
        self._figures = ""
        self._spinner: Spinner | None = Spinner("dots", text="waiting for a worker")
        self.states: list[str] = []

    def take(self, event: Event) -> None:
        """Show where the event has brought the job."""
        from rich.text import Text

        if event.type == "metrics":
            self._spinner = None
            self._move(event.data)
        elif self._spinner is not None and event.type in {"stage", "status"}:
            self._spinner.update(text=Text(sentence(event).lstrip("=─ ")))

    def end(self) -> None:
        """Leave nothing behind that still moves."""
        self._spinner, self.states = None, []

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [
            Text(each, no_wrap=True, overflow="ellipsis") for each in self.states
        ]
        if self._spinner is not None:
            parts.append(self._spinner)
        if self._bar is not None:
            # Below the bar and not beside it: a narrow terminal would cut the loss off.
            parts += [self._progress, Text(self._figures)]
        return Group(*parts)

    def _move(self, metrics: dict[str, Any]) -> None:
        if self._bar is None:
            self._bar = self._progress.add_task("", total=1.0)
        done = metrics.get("progress")
        if done is None and metrics.get("total_steps"):
            done = metrics.get("step", 0) / metrics["total_steps"]
        self._progress.update(self._bar, completed=done or 0.0)
        self._figures = summary(metrics)
