"""Checking an uploaded file in a process of its own: ``python -m academy.curation.uploads.check``.

The file comes from anywhere and may be large. In another process its check keeps nobody waiting,
takes only the memory and the time that it is allowed, and cannot take its caller down.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from academy.curation.errors import UploadRefused
from academy.curation.uploads.formats import Problem
from academy.curation.uploads.rows import UploadReport, validate_upload
from academy.host.processes import end_group, spawn

#: What the check may take. Memory counts mapped pages, of which Parquet's reader maps many.
CPU_SECONDS = 600
WALL_SECONDS = 900.0
MEMORY_BYTES = 8 << 30


class BadUpload(UploadRefused):
    """The upload {path!r} was refused: {why}."""

    def __init__(self, *, path: str, why: str, report: UploadReport) -> None:
        super().__init__(path=path, why=why)
        self.fields = {"path": path, "why": why, "report": report}
        self.report = report

        self.errors = [problem_body(each) for each in report.problems]
        #: What an answer says beside them.
        self.members = {"report": report_body(report)}


def check_upload(path: Path, name: str, *, max_bytes: int) -> UploadReport:
    """The report on the file at `path`, which users know as `name`; nothing of it is stored.

    Raises `BadUpload`, which has the report, if a line is bad, and `UploadRefused` where there are
    no lines to speak of, or where the check itself came to an end.
    """
    command = [sys.executable, "-m", "academy.curation.uploads.check", str(path), str(max_bytes)]
    process = spawn(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:  # which closes its pipe
        try:
            said, _ = process.communicate(timeout=WALL_SECONDS)
        except subprocess.TimeoutExpired as error:
            why = f"its check took more than {WALL_SECONDS:g} seconds"
            raise UploadRefused(path=name, why=why) from error
        finally:
            end_group(process, grace_seconds=0)
    if process.returncode != 0:
        why = "its check took more memory or time than it may, or the reader broke down on it"
        raise UploadRefused(path=name, why=why)
    found = json.loads(said)
    if "refused" in found:
        raise UploadRefused(path=name, why=found["refused"])
    problems = tuple(Problem(**each) for each in found.pop("problems"))
    report = UploadReport(**found, problems=problems)
    if not report.ok:
        raise BadUpload(path=name, why=in_words(report), report=report)
    return report


def in_words(report: UploadReport) -> str:
    """What is wrong with a file that has bad lines."""
    first = report.problems[0]
    where = f"line {first.line}" + (f" at {first.pointer}" if first.pointer else "")
    return f"{report.bad_rows} of its {report.rows} rows are bad; {where}: {first.reason}"


def report_body(report: UploadReport) -> dict[str, Any]:
    """The report as an answer shows it, without its problems."""
    return {
        "format": report.format,
        "rows": report.rows,
        "bad_rows": report.bad_rows,
        "problems_total": report.problems_total,
        "problems_shown": len(report.problems),
        "ignored": report.ignored,
    }


def problem_body(problem: Problem) -> dict[str, Any]:
    """A problem as an answer shows it."""
    return {
        "line": problem.line,
        "pointer": problem.pointer,
        "code": problem.code,
        "detail": problem.reason,
    }


def main() -> int:
    """Check the file that the arguments name and print the report, or the refusal, as JSON."""
    path, max_bytes = Path(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        body = asdict(validate_upload(path, max_bytes=max_bytes))
    except UploadRefused as error:
        body = {"refused": error.fields["why"]}
    sys.stdout.write(json.dumps(body))
    return 0


if __name__ == "__main__":
    sys.exit(main())
