"""Fuzz the diff parser and the upload validator with atheris, each for half of the time.

    python -m tests.fuzz [--seconds 600] [--target diff_parser]

atheris (libFuzzer's coverage-guided search) is the extra ``fuzz``; without it this says so and ends
with 2. What is found worth keeping grows under ``.cache/fuzz``; `corpus/` holds the small seeds
that every run begins with and that the ordinary tests replay. An input that breaks a promise is
printed and written to ``.cache/fuzz/crash-…``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOUND = HERE.parents[1] / ".cache" / "fuzz"
_STARTING_SECONDS = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=600, help="of fuzzing, for both together")
    parser.add_argument("--target", choices=("diff_parser", "upload_validator"))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        import atheris  # noqa: F401  # only whether it is there
    except ImportError:
        sys.stderr.write("atheris is missing: python -m pip install 'academy[fuzz]'\n")
        return 2
    if options.inside:
        fuzz(options.target, options.seconds)
        return 0
    targets = [options.target] if options.target else ["diff_parser", "upload_validator"]
    seconds = max(1, options.seconds // len(targets))
    # A process each: libFuzzer ends the process that it runs in.
    return max([_run(target, seconds) for target in targets])


def fuzz(target: str, seconds: int) -> None:
    """Run libFuzzer on one target until its time is over or an input breaks a promise."""
    import atheris

    with atheris.instrument_imports(include=["academy.curation"]):
        from tests.fuzz.targets import LONGEST_SECONDS, TARGETS

    grown = FOUND / target
    grown.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-timeout={int(LONGEST_SECONDS * 2)}",
            "-rss_limit_mb=2048",
            "-max_len=16384",
            "-print_final_stats=1",
            f"-artifact_prefix={grown.parent}/crash-{target}-",
            str(grown),  # libFuzzer writes into the first folder only
            str(HERE / "corpus" / target),
        ],
        TARGETS[target],
    )
    atheris.Fuzz()


def _run(target: str, seconds: int) -> int:
    sys.stderr.write(f"fuzzing {target} for {seconds} s\n")
    command = [sys.executable, "-m", "tests.fuzz", "--inside", "--target", target]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)], check=False, timeout=seconds + _STARTING_SECONDS
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
