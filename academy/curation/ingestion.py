"""Reading sources in: filters, secrets and names, and the checks that no request can switch off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from academy.basemodels.conversation import ROLES
from academy.curation import filters
from academy.curation.dataset.statistics import Collected
from academy.curation.dedup import Sketches
from academy.curation.drops import Drops
from academy.curation.errors import SourceFailed
from academy.curation.git.outcome import Dropped, Outcome
from academy.curation.pairs import Pairing
from academy.curation.people import mask_people
from academy.curation.progress import Ticker
from academy.curation.request import CurationRequest
from academy.curation.sources import (
    Lesson,
    Row,
    RunRecord,
    TaskRecord,
    comparable,
    row_of_lesson,
    row_of_run,
    row_of_task,
)
from academy.curation.split.contamination import Protected
from academy.curation.spool import Spool, content_of
from academy.errors import AcademyError
from academy.secrecy.redact import redact


class Ingestion:
    """Reads records in, and knows what was read, dropped and spooled so far."""

    def __init__(
        self,
        request: CurationRequest,
        spool: Spool,
        ticker: Ticker,
        protected: Protected,
        scratch: Path,
    ) -> None:
        self.request = request
        self.spool = spool
        self.scratch = scratch
        self.ticker = ticker
        self.protected = protected
        self.collected = Collected()
        self.drops = Drops(request.seed, request.mask_emails)
        self.sketches = Sketches() if request.uses("near_duplicate") else None

    def read_records(
        self,
        lessons: Iterable[Lesson],
        tasks: Iterable[TaskRecord],
        runs: Iterable[RunRecord],
        uploads: Iterable[Row],
    ) -> None:
        """Read every source but git, each up to its limit."""
        if self.request.makes_pairs:
            self._read_pairs(runs)
        else:
            self._read_singly(lessons, tasks, runs)
        self.ticker.begin("reading uploads")
        for row in self._guard("uploads", iter(uploads)):
            self._take(row, None, filters.UPLOAD_FILTERS)

    def _read_singly(
        self, lessons: Iterable[Lesson], tasks: Iterable[TaskRecord], runs: Iterable[RunRecord]
    ) -> None:
        asked = self.request
        self.ticker.begin("reading lessons", asked.lessons_limit or None)
        for lesson in self._guard("lessons", islice(lessons, asked.lessons_limit)):
            self._take(row_of_lesson(lesson), lesson, filters.LESSON_FILTERS)
        if asked.include_task_history:
            self.ticker.begin("reading tasks", asked.tasks_limit or None)
            for task in self._guard("tasks", islice(tasks, asked.tasks_limit)):
                self._take(row_of_task(task), task, filters.TASK_FILTERS)
        if asked.include_runs:
            self.ticker.begin("reading runs", asked.runs_limit or None)
            for run in self._guard("runs", islice(runs, asked.runs_limit)):
                self._take(row_of_run(run), run, filters.RUN_FILTERS)

    def _read_pairs(self, runs: Iterable[RunRecord]) -> None:
        """Runs as preference pairs; each is judged on its own before it waits for another."""
        asked = self.request
        with Pairing(self.scratch / "runs") as pairing:
            self.ticker.begin("reading runs", asked.runs_limit or None)
            for run in self._guard("runs", islice(runs, asked.runs_limit)):
                row = row_of_run(run)
                accepted = filters.is_accepted(run, row, asked)
                rules = filters.CHOSEN_FILTERS if accepted else filters.REJECTED_FILTERS
                if self._passes(row, run, rules):
                    pairing.add(row, run.reward, accepted=accepted)
                self.ticker.step()
            self.ticker.begin("pairing runs")
            for row, left_over in pairing.pairs(self.ticker.poll):
                if left_over is None:
                    self._keep(row)
                else:
                    self.drops.add_row(row, "unpaired", left_over)

    def read_repository(self, commits: Iterator[Outcome]) -> None:
        """Read one repository's commits, which come judged already."""
        for commit in commits:
            self.ticker.rows_read += 1
            self.collected.read["git"] += 1
            if isinstance(commit, Dropped):
                self.collected.commits_skipped += 1
                self.drops.add(commit.id, "git", commit.filter, commit.matched, commit.text)
                self.ticker.step(0)
            else:
                self._keep(commit.row, commit.author)
                self.ticker.step()

    def why_nothing(self) -> str:
        """In words, where the rows went."""
        dropped = self.drops.by_filter()
        if not dropped:
            return "no source gave any"
        return "dropped by " + ", ".join(f"{name} ({count})" for name, count in dropped.items())

    def _guard(self, source: str, records: Iterator[Any]) -> Iterator[Any]:
        """Yield a source's records; when it breaks, say which one and after how many."""
        count = 0
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except AcademyError:
                raise
            except Exception as error:  # a source is the caller's code and may raise anything
                raise SourceFailed(
                    source=source, rows_read=count, why=f"{type(error).__name__}: {error}"
                ) from error
            count += 1
            yield record

    def _take(self, row: Row, record: filters.Record, rules: tuple[filters.Filter, ...]) -> None:
        if self._passes(row, record, rules):
            self._keep(row)
        self.ticker.step()

    def _passes(self, row: Row, record: filters.Record, rules: tuple[filters.Filter, ...]) -> bool:
        """Count the record as read; whether no filter drops it."""
        self.ticker.rows_read += 1
        self.collected.read[row.source] += 1
        found = filters.first_match(rules, record, row, self.request)
        if found is not None:
            self.drops.add_row(row, *found)
        return found is None

    def _keep(self, row: Row, author: str = "") -> None:
        """What happens to each row that passed its filters: clean it, check it, spool it."""
        if row.rejected is not None and not self.request.makes_pairs:
            row = replace(row, rejected=None)
        clean, kinds = self._redacted(row, author)
        found = self._last_checks(clean, kinds)
        if found is not None:
            self.drops.add_row(clean, *found)
            return
        self.spool.append(clean)
        if self.sketches is not None:
            self.sketches.add(content_of(clean))
        self.ticker.rows_kept += 1

    def _redacted(self, row: Row, author: str) -> tuple[Row, frozenset[str]]:
        """The row without secrets and names, in its texts and in its provenance."""
        kinds: set[str] = set()
        masked = False

        def safe(value: Any) -> Any:
            nonlocal masked
            if isinstance(value, list):
                return [safe(each) for each in value]
            if isinstance(value, dict):
                return {name: safe(each) for name, each in value.items()}
            if not isinstance(value, str):
                return value
            redacted = redact(value)
            kinds.update(redacted.kinds)
            if not self.request.mask_emails:
                return redacted.text
            text, changed = mask_people(redacted.text, author)
            masked = masked or changed
            return text

        def safe_message(message: dict[str, Any]) -> dict[str, Any]:
            return {name: each if name == "role" else safe(each) for name, each in message.items()}

        messages = tuple(map(safe_message, row.messages))
        rejected, tools, provenance = safe(row.rejected), row.tools, row.provenance
        if tools:
            tools = tuple(safe(list(tools)))
        if row.source != "git":  # a commit's holds ids and counts, nothing that anybody wrote
            provenance = safe(provenance)
        touched = [f"secret:{kind}" for kind in sorted(kinds)] + ["people"] * masked
        if not touched:
            return row, frozenset()
        return (
            replace(
                row,
                messages=messages,
                rejected=rejected,
                tools=tools,
                provenance=provenance,
                touched=tuple(touched),
            ),
            frozenset(kinds),
        )

    def _last_checks(self, row: Row, kinds: frozenset[str]) -> tuple[str, str] | None:
        """Rules that cannot be switched off: without them the dataset would be wrong or unsafe."""
        if kinds and self.request.secrets == "drop":
            return "secret", ", ".join(sorted(kinds))
        if not _is_trainable(row):
            return "untrainable", "no question, no answer to be learnt, or an unknown role"
        if self.request.makes_pairs and not _is_pair(row):
            return "untrainable", "no rejected answer, or one that equals the chosen one"
        if self.protected:
            matched = self.protected.match(content_of(row))
            if matched is not None:
                return "contaminated", matched
        return None


def _is_pair(row: Row) -> bool:
    """Whether there are two answers to choose between: equal ones would teach nothing."""
    rejected = comparable(row.rejected or "")
    return bool(rejected) and rejected != comparable(row.answer)


def _is_trainable(row: Row) -> bool:
    """Whether the row is what a trainer reads: known roles, a question, an answer at the end."""
    roles = [each["role"] for each in row.messages]
    return (
        len(roles) >= 2
        and ROLES.issuperset(roles)
        and roles[-1] == "assistant"
        and bool(row.answer.strip())
        and row.messages[-1].get("weight") != 0
        and any(m["role"] == "user" and m["content"].strip() for m in row.messages)
    )
