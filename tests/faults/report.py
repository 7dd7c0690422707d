"""What the harness measured: a table for people, and JSON for the next comparison."""

from __future__ import annotations

import json
import os
import platform
import statistics
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.form import Form


@dataclass
class Row:
    """One fault: how often it was injected, and how long each recovery took."""

    fault: str
    limit_seconds: float | None
    seconds: list[float] = field(default_factory=list)
    times: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: float | None = None) -> None:
        """Count one injection, and what it took to recover. Any thread may."""
        with self.lock:
            self.times += 1
            if seconds is not None:
                self.seconds.append(round(seconds, 3))

    def count(self, fact: str) -> None:
        """Count something worth knowing beside the injections."""
        with self.lock:
            self.facts[fact] = self.facts.get(fact, 0) + 1

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
        self.rows: dict[str, Row] = {}

    def row(self, fault: str, limit_seconds: float | None = None) -> Row:
        """The row of this fault; a test adds to it and asserts its own limits."""
        limit = None if limit_seconds is None else round(limit_seconds, 2)
        return self.rows.setdefault(fault, Row(fault, limit))

    def write(self, repository: Path, *, is_whole: bool) -> None:
        """Into ``benchmarks/results/faults.json`` and this form's table in ``docs/reliability.md``.

        A whole run replaces the table of its form. A part of the long form, which takes hours,
        replaces its own rows; a part of the short form, which takes minutes, is not written.
        """
        if not (self.rows and (is_whole or self.form.name == "long")):
            return
        path = repository / "benchmarks" / "results" / "faults.json"
        results = json.loads(path.read_text()) if path.exists() else {}
        earlier = [] if is_whole else results.get(self.form.name, {}).get("faults", [])
        rows = {row["fault"]: row for row in earlier}
        today = datetime.now(UTC).date().isoformat()
        rows |= {row.fault: {**row.as_dict(), "measured": today} for row in self.rows.values()}
        results[self.form.name] = {
            "scale": self.form.scale,
            "machine": {"cpus": os.cpu_count(), "platform": platform.platform()},
            "faults": list(rows.values()),
        }
        path.write_text(json.dumps(results, indent=1) + "\n")
        page = repository / "docs" / "reliability.md"
        begin, end = f"<!-- {self.form.name} form -->", f"<!-- end of {self.form.name} form -->"
        before, _, rest = page.read_text().partition(begin)
        _, _, after = rest.partition(end)
        page.write_text(f"{before}{begin}\n\n{table(rows.values())}\n\n{end}{after}")


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Markdown: one line a fault."""
    lines = [
        "| fault | times | recovery, median | worst | limit | measured |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        figures = [
            "" if row[name] is None else f"{row[name]:.1f} s"
            for name in ("median_seconds", "worst_seconds", "limit_seconds")
        ]
        words = [row["fault"], str(row["times"]), *figures, row["measured"]]
        lines.append("| " + " | ".join(words) + " |")
    return "\n".join(lines)
