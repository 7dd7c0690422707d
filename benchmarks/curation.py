"""Reading git history: Academy beside ``git log -p``, PyDriller and GitPython, in one run.

    python benchmarks/curation.py [--commits 5000] [--memory-commits 100000] [--lessons 1000000]

All sides read the same synthetic repository (made by ``git fast-import``), in turns, and the
median of the rounds counts. The peers read all of it too: PyDriller the diff of each modified
file, GitPython ``commit.diff(parent, create_patch=True)``. Memory is measured in processes of their
own, from a small history to a large one. Results go to benchmarks/results/curation.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from academy.curation.curate import curate
from academy.curation.git.history import log_arguments, read_commits
from academy.curation.git.repository import inspect
from academy.curation.git.shadow import Shadow
from academy.curation.request import CurationRequest

ROUNDS = 3
RESULTS = Path(__file__).parent / "results" / "curation.json"
VERBS = ("Teach", "Fix", "Move", "Let", "Allow", "Refuse", "Handle", "Document", "Test", "Split")
GIT_ENV = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--commits", type=int, default=5_000)
    parser.add_argument("--memory-commits", type=int, default=100_000)
    parser.add_argument("--lessons", type=int, default=1_000_000)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(CHILDREN[options.only](options)))
        return
    with tempfile.TemporaryDirectory(prefix="bench-curation-") as folder:
        results = {
            "machine": {"cpus": os.cpu_count(), "load": os.getloadavg(), "python": sys.version},
            "git": subprocess.check_output(["git", "version"], text=True).strip(),
            "platform": platform.platform(),
            "speed": speed(Path(folder), options.commits),
            "memory": memory(Path(folder), options.memory_commits),
            "lessons": child("lessons", lessons=options.lessons),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    show(results)


def speed(folder: Path, commits: int) -> dict[str, Any]:
    """Seconds of each side, the median of the rounds, and the ratio to ``git log -p``."""
    repo = make_repository(folder / "repo", commits)
    sides: dict[str, Callable[[], None]] = {
        "git log -p": lambda: plain_git(repo, folder),
        "academy reader": lambda: academy_reader(repo, folder),
        "academy pipeline": lambda: academy_pipeline(repo, folder),
        "gitpython": lambda: gitpython(repo),
        "pydriller": lambda: pydriller(repo),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - began)
    base = statistics.median(times["git log -p"])
    return {
        "commits": commits,
        "rounds": ROUNDS,
        "sides": {
            name: {
                "seconds": [round(each, 3) for each in values],
                "median": round(statistics.median(values), 3),
                "ratio": round(statistics.median(values) / base, 2),
                "commits_per_second": round(commits / statistics.median(values)),
            }
            for name, values in times.items()
        },
    }


def memory(folder: Path, commits: int) -> dict[str, Any]:
    """Peak memory of a process that reads a small history, and of one that reads a large one."""
    small = make_repository(folder / "small", 1_000)
    large = make_repository(folder / "large", commits)
    found = {
        "small": {"commits": 1_000, **child("reader", path=str(small))},
        "large": {"commits": commits, **child("reader", path=str(large))},
    }
    grown = found["large"]["python_peak_mib"] - found["small"]["python_peak_mib"]
    return {**found, "python_growth_mib": round(grown, 1)}


def plain_git(repo: Path, folder: Path) -> None:
    with shadowed(repo, folder) as shadow:
        assert shadow.head is not None
        subprocess.run(
            shadow.command(*log_arguments(shadow.head, b"0" * 32)),
            env=shadow.environ(),
            stdout=subprocess.DEVNULL,
            check=True,
        )


def academy_reader(repo: Path, folder: Path) -> None:
    with shadowed(repo, folder) as shadow:
        for _ in read_commits(shadow, lambda: None):
            pass


def academy_pipeline(repo: Path, folder: Path) -> None:
    request = CurationRequest(
        repositories=(str(repo),), git_commits_limit=1_000_000, max_diff_chars=20_000
    )
    curate(request, out=folder / "dataset", allowed_roots=[repo.parent])
    shutil.rmtree(folder / "dataset")


def gitpython(repo: Path) -> None:
    from git import NULL_TREE, Repo

    opened = Repo(repo)
    for commit in opened.iter_commits("HEAD"):
        other = commit.parents[0] if commit.parents else NULL_TREE
        for diff in commit.diff(other, create_patch=True):
            _ = diff.diff
        _ = commit.message
    opened.close()


def pydriller(repo: Path) -> None:
    from pydriller import Repository

    for commit in Repository(str(repo)).traverse_commits():
        for file in commit.modified_files:
            _ = file.diff
        _ = commit.msg


@contextmanager
def shadowed(repo: Path, folder: Path) -> Iterator[Shadow]:
    """The shadow of a repository in a folder that goes away."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        yield Shadow(inspect(str(repo), [repo.parent]), Path(scratch))


def child(kind: str, **options: Any) -> dict[str, Any]:
    """Run one measurement in a process of its own, whose peak memory is its own."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    output = subprocess.check_output([sys.executable, __file__, f"--only={kind}", *arguments])
    found: dict[str, Any] = json.loads(output)
    return found


def _reader_child(options: argparse.Namespace) -> dict[str, Any]:
    repo = Path(options.path)
    with tempfile.TemporaryDirectory() as folder, shadowed(repo, Path(folder)) as shadow:
        watch = GitMemory(str(shadow.folder))
        began = time.perf_counter()
        count = sum(1 for _ in read_commits(shadow, lambda: None))
        seconds = time.perf_counter() - began
        git_mib = watch.stop()
    return {
        "read": count,
        "seconds": round(seconds, 2),
        "python_peak_mib": round(peak_mib(), 1),
        "git_private_mib": round(git_mib, 1),
    }


def _lessons_child(options: argparse.Namespace) -> dict[str, Any]:
    from datetime import UTC, datetime, timedelta

    from academy.curation.sources import Lesson

    start = datetime(2025, 1, 1, tzinfo=UTC)

    def stream() -> Any:
        chance = random.Random(1)
        words = [f"word{number}" for number in range(20_000)]
        for number in range(options.lessons):
            yield Lesson(
                id=str(number),
                situation=" ".join(chance.choices(words, k=15)),
                solution=" ".join(chance.choices(words, k=30)),
                tags=["bench"],
                source="bench",
                quality=None,
                created_at=start + timedelta(seconds=number),
            )

    began = time.perf_counter()
    for _ in stream():
        pass
    making = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        request = CurationRequest(lessons_limit=options.lessons, repositories=())
        result = curate(request, lessons=stream(), out=Path(folder) / "dataset", allowed_roots=[])
        seconds = time.perf_counter() - began - making
    return {
        "lessons": options.lessons,
        "kept": result.statistics["total_examples"],
        "seconds": round(seconds, 1),
        "rows_per_second": round(options.lessons / seconds),
        "peak_mib": round(peak_mib(), 1),
    }


CHILDREN: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "reader": _reader_child,
    "lessons": _lessons_child,
}


def peak_mib() -> float:
    """The largest resident set of this process; getrusage would count that of our parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class GitMemory:
    """Samples the private memory of the git process that runs in a folder (Linux)."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return self.peak

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            for path in Path("/proc").glob("[0-9]*"):
                try:
                    if os.readlink(path / "cwd") != self.folder:
                        continue
                    rollup = (path / "smaps_rollup").read_text()
                except OSError:
                    continue
                # What git maps from packs is clean and shared; its own is private and dirty.
                private = [
                    int(line.split()[1]) for line in rollup.splitlines() if "Private_Dirty" in line
                ]
                self.peak = max(self.peak, sum(private) / 1024)


def make_repository(path: Path, commits: int) -> Path:
    """A bare history of `commits`: 1 to 3 files a commit, a few lines each, packed like a clone."""
    path.mkdir()
    run = {"cwd": path, "env": GIT_ENV, "check": True}
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main"], **run)  # type: ignore[call-overload]
    feed = subprocess.Popen(
        ["git", "fast-import", "--quiet"], cwd=path, env=GIT_ENV, stdin=subprocess.PIPE
    )
    assert feed.stdin is not None
    chance = random.Random(commits)
    words = [f"name_{number}" for number in range(4_000)]
    files = {f"src/part_{n % 12}/module_{n}.py": code(chance, words, 60) for n in range(150)}
    for number in range(commits):
        subject = f"{chance.choice(VERBS)} {' '.join(chance.choices(words, k=5))}"
        feed.stdin.write(
            b"commit refs/heads/main\n"
            + f"committer Ada Writer <ada@x.example> {1_600_000_000 + number * 60} +0000\n".encode()
            + f"data {len(subject)}\n{subject}\n".encode()
        )
        for name in (
            list(files) if number == 0 else chance.sample(sorted(files), chance.randint(1, 3))
        ):
            lines = files[name]
            at = chance.randrange(len(lines))
            lines[at : at + chance.randint(0, 4)] = code(chance, words, chance.randint(1, 6))
            if len(lines) > 120:
                del lines[60:]
            text = "\n".join(lines) + "\n"
            feed.stdin.write(f"M 644 inline {name}\ndata {len(text)}\n{text}\n".encode())
    feed.stdin.close()
    assert feed.wait() == 0
    subprocess.run(["git", "gc", "-q"], **run)  # type: ignore[call-overload]
    return path


def code(chance: random.Random, words: list[str], lines: int) -> list[str]:
    """Lines that look like code, no two alike."""
    pick = chance.choice
    return [
        f"    {pick(words)} = {pick(words)}({pick(words)}, {chance.random():.4f})"
        for _ in range(lines)
    ]


def show(results: dict[str, Any]) -> None:
    print(f"{'side':<18}{'median s':>10}{'x git log -p':>14}{'commits/s':>12}")
    for name, side in results["speed"]["sides"].items():
        print(f"{name:<18}{side['median']:>10}{side['ratio']:>14}{side['commits_per_second']:>12}")
    memory_found = results["memory"]
    for name in ("small", "large"):
        each = memory_found[name]
        print(
            f"{each['commits']:>7} commits: Python peak {each['python_peak_mib']} MiB, "
            f"git private {each['git_private_mib']} MiB, {each['seconds']} s"
        )
    print(f"growth of Python's peak: {memory_found['python_growth_mib']} MiB")
    told = results["lessons"]
    rate, peak = told["rows_per_second"], told["peak_mib"]
    print(f"{told['lessons']:,} lessons: {rate} rows/s, peak {peak} MiB")


if __name__ == "__main__":
    main()
