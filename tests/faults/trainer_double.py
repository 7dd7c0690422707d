"""A trainer that computes hashes instead of gradients, and misbehaves when its recipe says so.

It keeps the real trainer's contract (docs/training.md): the spec, the messages, checkpoints and an
adapter with the manifest last, SIGTERM, the lifeline, the exit statuses. Its "weights" after step n
are a hash over those after step n - 1, so a lost, doubled or foreign step shows in the adapter.

The recipe: `steps`, `step_seconds`, `checkpoint_every`, `out_of_memory` (always exit 4),
`die_in_checkpoint` (the step whose checkpoint is left half written), `adapter_files` (how many
files the adapter has, to make its upload long), `only_attempt` (misbehave in that one alone), and
`hosts`: the double of the first host computes, those of the others hold a connection to it.
Three are paths that the harness creates when it is time: `speak` (it says nothing before that),
`hurry` (the rest of the steps takes no time after it, and only the last is told) and `finish` (it
does not end before that).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from academy.artifacts.manifest import verify_manifest, write_manifest

DONE, OTHER, CANCELLED, OUT_OF_MEMORY = 0, 1, 3, 4

#: What the first of several hosts says to the others at the end.
ALL_DONE, ALL_STOPPED = b"d", b"s"

_stopping = threading.Event()


def main() -> int:
    """Train as the spec says; the trainer's exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spec", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lifeline", action="store_true")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stopping.set())
    if arguments.lifeline:
        threading.Thread(target=_watch_lifeline, daemon=True).start()
    spec = json.loads(arguments.spec.read_text())
    return Double(spec, arguments.out).train()


def weights_after(job_id: str, steps: int, weights: str = "", first: int = 1) -> str:
    """What a training that lost, doubled and mixed up nothing has after `steps`."""
    for step in range(first, steps + 1):
        weights = hashlib.sha256(f"{job_id} {step} {weights}".encode()).hexdigest()
    return weights


class Double:
    """One attempt at a job."""

    def __init__(self, spec: dict[str, Any], out: Path) -> None:
        self.job_id: str = spec["job_id"]
        self.attempt: int = spec["attempt"]
        self.out = out
        # A job that came through the API has the real recipe's fields: short, and well-behaved.
        given = spec["recipe"]
        short = {"steps": given.get("max_steps"), "step_seconds": 0.01, "checkpoint_every": 5}
        self.recipe: dict[str, Any] = {**short, **given}
        self.misbehaves = self.recipe.get("only_attempt", self.attempt) == self.attempt
        self.resume_from = spec["resume_from"]
        self.gang: dict[str, Any] = spec.get("gang") or {"place": 0, "address": "127.0.0.1"}

    def train(self) -> int:
        """This host's part; the exit status."""
        try:
            if self.gang["place"]:
                self._note(event="joined", place=self.gang["place"])
                return CANCELLED if follow(self.gang) == ALL_STOPPED else DONE
            return self._lead()
        except (Lost, ConnectionError):
            said = {"message": "The double lost another host.", "next_step": "Try again."}
            self._say("error", code="worker_lost", **said)
            return OTHER

    def _lead(self) -> int:
        """Every step from the checkpoint on; the exit status."""
        steps = int(self.recipe["steps"])
        (self.out / "checkpoints").mkdir(parents=True)
        first, weights = self._resume()
        if not self._may("speak"):
            return CANCELLED
        hosts = int(self.recipe.get("hosts", 1))
        others = First(hosts, self._say, self.gang["address"])
        self._say("stage", stage="training", message="The double computes.")
        self._note(event="began", first_step=first)
        for step in range(first, steps + 1):
            if self.misbehaves and self.recipe.get("out_of_memory"):
                return OUT_OF_MEMORY
            hurries = self._is_there("hurry")
            if _stopping.wait(0 if hurries else self.recipe["step_seconds"]):
                self._checkpoint(step - 1, weights)
                others.end(ALL_STOPPED)
                return CANCELLED
            others.check()
            weights = weights_after(self.job_id, step, weights, step)
            if hurries and step < steps:
                continue
            self._say("metrics", step=step, total_steps=steps, attempt=self.attempt, loss=1.0)
            if step % int(self.recipe["checkpoint_every"]) == 0:
                self._checkpoint(step, weights)
        if not self._may("finish"):
            self._checkpoint(steps, weights)
            return CANCELLED
        self._finish(steps, weights)
        others.end(ALL_DONE)
        return DONE

    def _may(self, what: str) -> bool:
        """Wait for the harness's permission, if the recipe asks for one; False if stopped."""
        if self.recipe.get(what) and not self._is_there(what):
            self._note(event=f"waits to {what}")
            while not self._is_there(what):
                if _stopping.wait(0.01):
                    return False
        return True

    def _is_there(self, what: str) -> bool:
        return bool(self.recipe.get(what)) and os.path.exists(self.recipe[what])

    def _resume(self) -> tuple[int, str]:
        if self.resume_from is None:
            return 1, ""
        verify_manifest(Path(self.resume_from))
        state = json.loads((Path(self.resume_from) / "state.json").read_text())
        return state["step"] + 1, state["weights"]

    def _checkpoint(self, step: int, weights: str) -> None:
        folder = self.out / "checkpoints" / f"step-{step:08d}"
        # A folder that somebody took away from a running trainer is an error, as in the real one.
        folder.mkdir(exist_ok=True)
        # The attempt makes the digest its own, so an audit can tell whose checkpoint was recorded.
        state = {"step": step, "weights": weights, "attempt": self.attempt}
        (folder / "state.json").write_text(json.dumps(state))
        if self.misbehaves and self.recipe.get("die_in_checkpoint") == step:
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / "optimizer.bin").write_bytes(weights.encode() * 64)
        digest = write_manifest(folder)
        self._note(event="checkpoint", step=step, digest=digest)
        self._say("checkpoint", step=step, path=str(folder), digest=digest)

    def _finish(self, steps: int, weights: str) -> None:
        folder = self.out / "adapter"
        folder.mkdir()
        (folder / "weights.txt").write_text(weights)
        (folder / "academy.json").write_text(json.dumps({"base_model": {"digest": None}}))
        for number in range(int(self.recipe.get("adapter_files", 0))):
            (folder / f"part-{number:05d}.bin").write_text(f"{self.job_id} {number}")
        digest = write_manifest(folder)
        summary = {"steps": steps, "attempt": self.attempt}
        self._note(event="result", digest=digest)
        self._say("result", adapter_path=str(folder), digest=digest, summary=summary)

    def _say(self, type: str, **fields: Any) -> None:
        line = {"type": type, "timestamp": datetime.now(UTC).isoformat(), **fields}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    def _note(self, **fields: Any) -> None:
        """One line of the ledger by which the harness knows what was really trained."""
        folder = Path(os.environ["ACADEMY_HOME"]) / "ledger"
        folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"attempt": self.attempt, "pid": os.getpid(), **fields}) + "\n"
        with (folder / f"{self.job_id}.jsonl").open("a") as ledger:
            ledger.write(line)


class Lost(Exception):
    """The connection to another host ended without a word."""


class First:
    """Holds several hosts together, as ranks do: it listens, tells where, and waits for them."""

    def __init__(self, hosts: int, say: Callable[..., None], address: str) -> None:
        self._others: list[socket.socket] = []
        if hosts == 1:
            return
        with socket.create_server((address, 0)) as listener:
            say("rendezvous", address=f"{address}:{listener.getsockname()[1]}")
            while len(self._others) < hosts - 1 and not _stopping.is_set():
                if select.select([listener], [], [], 0.05)[0]:
                    self._others.append(listener.accept()[0])

    def check(self) -> None:
        """Raise `Lost` if a host has gone: no other one ever sends anything."""
        if self._others and select.select(self._others, [], [], 0)[0]:
            raise Lost

    def end(self, word: bytes) -> None:
        """Tell the others how it ended."""
        for each in self._others:
            each.sendall(word)
            each.close()


def follow(gang: dict[str, Any]) -> bytes:
    """What a host that is not the first does: hold on to the first one; its last word."""
    address, _, port = gang["rendezvous"].rpartition(":")
    with socket.create_connection((address, int(port)), timeout=30) as first:
        first.settimeout(600)
        word = first.recv(1)
    if not word:
        raise Lost
    return word


def _watch_lifeline() -> None:
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], 60)
        if ready and not os.read(sys.stdin.fileno(), 1):
            os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
