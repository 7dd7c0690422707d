"""What the harness measured: a table for people, and JSON for the next comparison."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.form import Form

_BEGIN, _END = "<!-- faults -->", "<!-- end of faults -->"


@dataclass
class Row:
    """One fault: how often it was injected, and how long each recovery took."""

    fault: str
    limit_seconds: float | None
    seconds: list[float] = field(default_factory=list)
    times: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, seconds: float | None = None) -> None:
        """Count one injection, and what it took to recover."""
        self.times += 1
        if seconds is not None:
            self.seconds.append(round(seconds, 3))

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON."""
        worst = max(self.seconds) if self.seconds else None
        middle = round(statistics.median(self.seconds), 3) if self.seconds else None
        return {
            "fault": self.fault,
            "times": self.times,
            "median_seconds": middle,
            "worst_seconds": worst,
            "limit_seconds": self.limit_seconds,
            **self.facts,
        }


class Report:
    """The rows of one run of the harness."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.rows: list[Row] = []

    def row(self, fault: str, limit_seconds: float | None = None, **facts: Any) -> Row:
        """A new row; a test adds to it and asserts its own limits."""
        limit = None if limit_seconds is None else round(limit_seconds, 2)
        made = Row(fault, limit, facts=facts)
        self.rows.append(made)
        return made

    def write(self, repository: Path) -> None:
        """Into ``benchmarks/results/faults.json`` and the table of ``docs/reliability.md``."""
        document = {
            "form": self.form.name,
            "scale": self.form.scale,
            "machine": {"cpus": os.cpu_count(), "platform": platform.platform()},
            "faults": [row.as_dict() for row in self.rows],
        }
        path = repository / "benchmarks" / "results" / "faults.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")
        page = repository / "docs" / "reliability.md"
        before, _, rest = page.read_text().partition(_BEGIN)
        _, _, after = rest.partition(_END)
        page.write_text(f"{before}{_BEGIN}\n\n{self.table()}\n\n{_END}{after}")

    def table(self) -> str:
        """Markdown: one line a fault."""
        lines = [
            f"Form: {self.form.name}, every interval divided by {self.form.scale:g}.",
            "",
            "| fault | times | recovery, median | worst | limit |",
            "| --- | --- | --- | --- | --- |",
        ]
        for row in (each.as_dict() for each in self.rows):
            figures = [
                "" if row[name] is None else f"{row[name]:.1f} s"
                for name in ("median_seconds", "worst_seconds", "limit_seconds")
            ]
            lines.append(f"| {row['fault']} | {row['times']} | " + " | ".join(figures) + " |")
        return "\n".join(lines)
