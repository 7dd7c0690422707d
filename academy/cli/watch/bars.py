"""Progress bars, each folded into its last state, and figures thinned to what a person reads.

A bar reaches the log as a line for each of its states. Here it is one line: the one with which it
was left when it started anew, when a stage of the job began, or when the job ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from academy.cli.watch.sentences import sentence
from academy.wire.sse_reading import Event

#: What tqdm prints with a total (``Loading: 40%|███ | 4/10 [00:01<…]``) and without one
#: (``12it [00:01, …]``), and the bars of rich and pip (``━━━━━━╸   12.3/45.6 MB``).
_BARS = (
    re.compile(r"(?P<name>.*?)\s*(?P<done>\d{1,3})%\|[^|]*\|"),
    re.compile(r"(?P<name>.*?)\s*(?P<done>\d+)it \["),
    re.compile(r"(?P<name>[^━╸╺]*)(?P<done>━*)[━╸╺]{5,}"),
)
#: What ends every bar: the work that they tell of is over.
_ENDS = frozenset({"stage", "status", "error", "result"})
#: Lines of metrics that a training with a known number of steps has about.
_MOST_METRICS = 200


@dataclass(frozen=True)
class _Bar:
    """A state of a bar: how far it is, and the event that said so."""

    name: str
    done: int
    is_whole: bool
    event: Event


@dataclass
class Folding:
    """Takes a job's events in order, and gives those that are to be shown as lines of their own."""

    _open: dict[str, _Bar] = field(default_factory=dict)
    _skipped: Event | None = None

    @property
    def states(self) -> list[str]:
        """What the bars that are not over show now."""
        return [sentence(each.event) for each in self._open.values()]

    def add(self, event: Event) -> Iterator[Event]:
        """The events that are lines now that this one has come, this one last if it is one."""
        if event.type == "metrics":
            yield from self._metrics(event)
            return
        bar = _bar_of(event)
        if bar is None:
            yield from self.rest() if event.type in _ENDS else self._whole()
            yield event
            return
        last = self._open.pop(bar.name, None)
        if last is not None and bar.done < last.done:
            yield last.event  # it began anew
        self._open[bar.name] = bar

    def rest(self) -> Iterator[Event]:
        """The bars that are open, and the last metrics that were passed over, as lines."""
        yield from [each.event for each in self._open.values()]
        self._open.clear()
        if self._skipped is not None:
            yield self._skipped
        self._skipped = None

    def _whole(self) -> Iterator[Event]:
        """The bars that are full, which are over as soon as something else is said."""
        for name, bar in list(self._open.items()):
            if bar.is_whole:
                del self._open[name]
                yield bar.event

    def _metrics(self, event: Event) -> Iterator[Event]:
        step, total = event.data.get("step"), event.data.get("total_steps")
        if not isinstance(step, int) or step <= 1 or step % _every(step, total) == 0:
            self._skipped = None
            yield event
        else:
            self._skipped = event


def folded(events: Iterable[Event]) -> Iterator[Event]:
    """The events that are lines, each once no later one can take its place."""
    folding = Folding()
    for event in events:
        yield from folding.add(event)
    yield from folding.rest()


def _every(step: int, total: object) -> int:
    """Which steps have a line: every so many. Without a total fewer and fewer."""
    if isinstance(total, int) and total > 0:
        return max(1, total // _MOST_METRICS)
    return 1 if step < 100 else int(10 ** (len(str(step)) - 2))


def _bar_of(event: Event) -> _Bar | None:
    """The bar whose state the event is; None if it is none."""
    if event.type == "progress":
        done, total = event.data.get("done"), event.data.get("total")
        number = done if isinstance(done, int) else 0
        return _Bar(f"progress {event.data.get('stage')}", number, number == total, event)
    if event.type != "log":
        return None
    text = sentence(event)
    for form in _BARS:
        if found := form.match(text):
            done = found["done"]
            number = int(done) if done.isdecimal() else len(done)
            return _Bar(found["name"], number, number == 100 and "%|" in text, event)
    return None
