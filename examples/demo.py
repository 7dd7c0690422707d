"""`make demo`: from lessons and a git history to a better model, live, on real parts.

Starts Academy on free ports in a home of its own, records the lessons beside this file, curates
them with a git history (ACADEMY_DEMO_REPO names another one than this repository), trains, shows
the live log, compares base and adapter on held-out rows, activates the adapter, asks the same
questions before and after, and rolls back. Exit status 0 if the held-out loss fell, else 1.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from academy.cli.watch import view
from academy.client import Client
from academy.errors import AcademyError
from academy.host.processes import end_group, spawn

EXAMPLES = Path(__file__).resolve().parent
HOME = EXAMPLES.parent / ".academy-demo"
START_SECONDS = 240
STOP_SECONDS = 60

#: Small enough for two cores and a few minutes; a GPU would take the defaults. Long diffs are cut
#: in the middle to `max_seq_length`, the commit messages never.
CURATION = {
    "lessons_limit": 500,
    "git_commits_limit": 24,
    "max_diff_chars": 20_000,
    "max_files": 40,
    "max_row_chars": 40_000,
}
TRAINING = {
    "num_epochs": 2,
    "max_steps": 72,
    "batch_size": 4,
    "learning_rate": 5e-4,
    "max_seq_length": 384,
    "max_eval_rows": 64,
    "seed": 7,
}
ANSWER_TOKENS = 64

console = Console()


class Stages:
    """Measures how long each part takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        console.rule(f"[bold]{name}")
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began


def main() -> int:
    """Run the demonstration; the exit status."""
    # SIGTERM ends it as Ctrl-C does: by way of the `finally` that stops the stack.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    repository = Path(os.environ.get("ACADEMY_DEMO_REPO") or EXAMPLES.parent).resolve()
    began = time.monotonic()
    try:
        with academy(repository) as (url, key), Client(url, key) as client:
            return show(client, repository, began)
    except KeyboardInterrupt:
        console.print("\nInterrupted; everything that was started is stopped.")
        return 130
    except AcademyError as error:
        console.print(f"[red]{error}[/] {getattr(error, 'problem_next_step', error.next_step)}")
        return 1


@contextmanager
def academy(repository: Path) -> Iterator[tuple[str, str]]:
    """The whole stack on free ports; its address and admin key. It ends with the block."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ACADEMY_")},
        **{name: os.environ[name] for name in ("ACADEMY_MODELS",) if name in os.environ},
        "ACADEMY_HOME": str(HOME),
        "ACADEMY_REPO_ROOTS": str(repository),
    }
    command = [sys.executable, "-m", "academy.cli", "up", "--port", "0", "--json"]
    with (HOME / "up.log").open("wb") as log:
        process = spawn(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            death_signal=signal.SIGTERM,
        )
    try:
        with console.status("Starting Academy: PostgreSQL, Valkey, API, workers, model …"):
            url = ready_url(process)
        console.print(f"Academy answers at {url}; everything it writes lies in {HOME}")
        yield url, (HOME / "admin.key").read_text().strip()
    finally:
        # A second Ctrl-C must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_group(process, STOP_SECONDS)


def ready_url(process: subprocess.Popen[bytes]) -> str:
    """Wait for the ready line of `academy up`; raises `NotStarted`."""
    assert process.stdout is not None
    timer_at = time.monotonic() + START_SECONDS
    os.set_blocking(process.stdout.fileno(), False)
    text = b""
    while time.monotonic() < timer_at and process.poll() is None:
        text += process.stdout.read() or b""
        for line in text.splitlines():
            if line.startswith(b"{") and line.endswith(b"}"):
                return str(json.loads(line)["url"])
        time.sleep(0.1)
    raise NotStarted(log=HOME / "up.log")


class NotStarted(AcademyError):
    """Academy did not start; {log} says why."""

    next_step = "`academy doctor` checks what it needs."


def show(client: Client, repository: Path, began: float) -> int:
    """The story itself, and its summary."""
    stages = Stages()
    questions = read_lines(EXAMPLES / "questions.jsonl")
    with stages.stage("1 · record the lessons"):
        added = client.post_lines("/lessons", (EXAMPLES / "lessons.jsonl").read_text())
        console.print(f"{added['added']} lessons recorded")
    with stages.stage("2 · curate them with a git history"):
        dataset = client.curate({**CURATION, "repositories": [str(repository)]})
        console.print(dataset["message"])
    with stages.stage("3 · ask the base model"):
        before = ask(client, questions)
    with stages.stage("4 · train, watched live"):
        job = client.post("/train", {**TRAINING, "dataset_id": dataset["dataset_id"]})
        status = view.show(client.follow(job["job_id"]))
        if status != "finished":
            console.print(f"[red]The training ended as {status!r}.")
            return 1
    adapter = client.get(f"/adapters/{job['job_id']}")
    with stages.stage("5 · activate the adapter, without a restart"):
        swap = client.post("/adapters/activate", {"adapter_id": adapter["adapter_id"]})
        console.print(swap["message"])
    with stages.stage("6 · ask again"):
        after = ask(client, questions)
    with stages.stage("7 · roll back"):
        console.print(client.post("/adapters/deactivate")["message"])
        restored = ask(client, questions[:1])
    show_answers(questions, before, after)
    show_summary(dataset, adapter, client.job(job["job_id"]), swap, stages, began)
    return verdict(adapter, restored == before[:1])


def ask(client: Client, questions: list[dict[str, Any]]) -> list[str]:
    """What the model behind the alias ``default`` answers, greedily; all questions at once."""

    def answer(question: dict[str, Any]) -> str:
        messages = [{"role": "user", "content": question["situation"]}]
        pieces = client.chat("default", messages, temperature=0, max_tokens=ANSWER_TOKENS)
        return "".join(pieces).strip()

    with ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(answer, questions))
    for question, text in zip(questions, answers, strict=True):
        console.print(f"[dim]?[/] {shorten(question['situation'], 90)}", highlight=False)
        console.print(f"  {shorten(text, 160)}", markup=False, highlight=False)
    return answers


def show_answers(questions: list[dict[str, Any]], before: list[str], after: list[str]) -> None:
    table = Table(title="The same questions, before and after", show_lines=True)
    for column in ("situation", "base", "adapter"):
        table.add_column(column, ratio=1)
    for question, old, new in zip(questions, before, after, strict=True):
        table.add_row(shorten(question["situation"], 160), shorten(old, 260), shorten(new, 260))
    console.print(table)


def show_summary(
    dataset: dict[str, Any],
    adapter: dict[str, Any],
    job: dict[str, Any],
    swap: dict[str, Any],
    stages: Stages,
    began: float,
) -> None:
    figures, statistics, metrics = adapter["metrics"], dataset["statistics"], job["metrics"]
    gain = figures["gain"]
    table = Table(title="Summary", show_header=False)
    rows = {
        "rows by source": counted(
            {name: each["kept"] for name, each in statistics["sources"].items()}
        ),
        "rows dropped, by filter": counted(statistics["filters"]) or "none",
        "rows to train on / held out": (
            f"{statistics['train_rows']} / {statistics['heldout_rows']}"
        ),
        "training loss, first → last": (
            f"{metrics['first_loss']:.3f} → {metrics['latest']['loss']:.3f}"
        ),
        "held-out loss, base → adapter": (
            f"{figures['base_loss']:.3f} → {figures['adapter_loss']:.3f}"
        ),
        "paired gain per held-out row": (
            f"{gain['mean']:.3f}, 95% interval {gain['low']:.3f} to {gain['high']:.3f}"
            f" (n = {gain['n']})"
        ),
        "tokens/s": f"{figures['tokens_per_second']:.0f}",
        "swap": f"{swap['swap_seconds']:.2f} s",
        "adapter": adapter["adapter_path"],
        **{f"seconds: {name}": f"{seconds:.1f}" for name, seconds in stages.seconds.items()},
        "seconds in all": f"{time.monotonic() - began:.1f}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def verdict(adapter: dict[str, Any], restored: bool) -> int:
    """Say whether it worked; the exit status."""
    gain = adapter["metrics"]["gain"]
    if not restored:
        console.print("[red]After the rollback the base model answered differently than before.")
        return 1
    if gain["low"] > 0:
        console.print("[green]The held-out loss fell, and the interval excludes zero.")
        return 0
    console.print(
        "[red]The held-out loss did not fall for certain: the paired gain's interval is"
        f" {gain['low']:.3f} to {gain['high']:.3f}."
    )
    return 1


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def counted(counts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


def shorten(text: str, length: int) -> str:
    text = " ".join(text.split()) if length < 200 else text
    return text if len(text) <= length else text[: length - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
