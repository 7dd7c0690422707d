"""A real trainer process on a tiny model: its spec, its events, its files."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from academy.artifacts.manifest import write_manifest
from academy.host.processes import signal_group, spawn
from tests.warm.python import WarmPython

TIMEOUT_SECONDS = 200


@dataclass
class Outcome:
    """How a trainer ended and what it said."""

    status: int
    events: list[dict[str, Any]]
    stderr: str
    out: Path

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


class Trainer:
    """A running trainer; its events are read one by one."""

    def __init__(self, out: Path, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        self.out = out
        self._stderr = out.with_suffix(".stderr").open("w+")
        self.process = start(
            # Two threads would not be faster on a tiny model, and trainers run side by side.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self.events: list[dict[str, Any]] = []

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read events up to the first wanted one."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if wanted(self.events[-1]):
                return self.events[-1]
        pytest.fail(f"the trainer ended before that: {self.events[-3:]}\n{self._said()}")

    def until_step(self, step: int) -> None:
        """Read events up to the metrics of that step."""
        self.until(lambda event: event["type"] == "metrics" and event["step"] >= step)

    def wait(self) -> Outcome:
        """Read to the end; asked again, the same answer."""
        assert self.process.stdout is not None
        if self.process.stdout.closed:
            return Outcome(self.process.returncode, self.events, self._said(), self.out)
        self.events += [json.loads(line) for line in self.process.stdout]
        self.process.stdout.close()
        status = self.process.wait(timeout=TIMEOUT_SECONDS)
        return Outcome(status, self.events, self._said(), self.out)

    def finish(self) -> Outcome:
        """Read to the end, which must be a good one."""
        outcome = self.wait()
        assert outcome.status == 0, (outcome.of("error"), outcome.stderr)
        return outcome

    def close(self) -> None:
        if self.process.poll() is None:
            signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=TIMEOUT_SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self._stderr):
            if stream is not None:
                stream.close()

    def _said(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read()


class Workshop:
    """A place with a tiny model and a dataset, where specs are written and trainers started."""

    def __init__(self, folder: Path, model: Path, warm_trainers: WarmPython) -> None:
        self.folder = folder
        self._warm_trainers = warm_trainers
        self.model = model
        self.dataset = make_dataset(folder / "dataset")
        self.digest = json.loads((self.dataset / "manifest.json").read_text())["digest"]
        self.started: list[Trainer] = []

    def start(
        self,
        *options: str,
        recipe: dict[str, Any] | None = None,
        out: Path | None = None,
        prefix: list[str] | None = None,
        cold: bool = False,
        **parts: Any,
    ) -> Trainer:
        """Start a trainer; `recipe` adds to the recipe, `parts` replace those of the spec.

        It is a warm one unless `cold`, or where a `prefix` starts it; the first of several
        processes, which imports little, is cold and the others are warm.
        """
        body = {
            "schema_version": 1,
            "job_id": "job-1",
            "attempt": 1,
            "base_model": {"name": "tiny", "path": str(self.model)},
            "dataset": {"path": str(self.dataset), "digest": self.digest},
            "recipe": {"num_epochs": 2, "learning_rate": 0.01, "dtype": "float32"} | (recipe or {}),
            "resume_from": None,
        }
        number = len(self.started)
        spec = self.folder / f"spec-{number}.json"
        spec.write_text(json.dumps(body | parts))
        out = out or self.folder / f"out-{number}"
        arguments = [str(spec), "--out", str(out), *options]
        program = [*(prefix or []), sys.executable, "-m", "academy.trainer"]
        if "gang" in parts or body["recipe"].get("gpus", 1) > 1:
            program = self._warm_trainers.with_warm_children("academy.trainer")
        elif not (cold or prefix):
            start = partial(self._warm_trainers.start, "academy.trainer", *arguments)
            return self._started(out, start)
        return self._started(out, partial(spawn, [*program, *arguments]))

    def _started(self, out: Path, start: Callable[..., subprocess.Popen[bytes]]) -> Trainer:
        self.started.append(Trainer(out, start))
        return self.started[-1]


def make_dataset(folder: Path) -> Path:
    """24 rows to learn from and 8 held out: repeat the words of the prompt."""
    chance = random.Random(0)

    def row(number: int) -> str:
        words = " ".join(chance.choice(["alpha", "beta", "gamma"]) for _ in range(3 + number % 12))
        messages = [
            {"role": "user", "content": f"repeat: {words}"},
            {"role": "assistant", "content": words},
        ]
        return json.dumps({"id": f"row-{number}", "messages": messages, "source": "upload"}) + "\n"

    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(row(number) for number in range(24)))
    (folder / "heldout.jsonl").write_text("".join(row(number) for number in range(24, 32)))
    write_manifest(folder)
    return folder


@pytest.fixture(scope="module")
def workshop(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, warm_trainers: WarmPython
) -> Iterator[Workshop]:
    """One place for all tests of a file; ends the trainers that a failed test leaves."""
    place = Workshop(tmp_path_factory.mktemp("workshop"), tiny_model, warm_trainers)
    yield place
    for trainer in place.started:
        trainer.close()
