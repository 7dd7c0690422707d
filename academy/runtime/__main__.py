"""`python -m academy.runtime`: serve one base model and its adapters over HTTP."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from academy import logs
from academy.errors import AcademyError
from academy.runtime.adapters_view import NAME_PATTERN
from academy.runtime.errors import ModelUnloadable
from academy.runtime.scheduler import Limits
from academy.runtime.serving import Serving, serve


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM. Exit status 2: bad arguments; 3: the model could not be loaded."""
    options = _parser().parse_args(arguments)
    try:
        logs.setup("runtime", options.log_level)
        serving = _serving(options)
    except AcademyError as error:
        sys.stderr.write(f"{error}\n{error.next_step}\n")
        raise SystemExit(2) from None
    serve(serving)


def _serving(options: argparse.Namespace) -> Serving:
    model = options.model.absolute()
    if not (model / "config.json").is_file():
        raise ModelUnloadable(path=str(model), why="it has no config.json")
    return Serving(
        model=model,
        name=options.name or model.name,
        host=options.host,
        port=options.port,
        device=options.device,
        dtype=options.dtype,
        adapter_roots=options.adapter_root,
        drain_seconds=options.drain_seconds,
        limits=Limits(
            running=options.max_running,
            queued=options.max_queued,
            adapters=options.max_adapters,
            request_seconds=options.request_seconds,
        ),
    )


def _parser() -> argparse.ArgumentParser:
    limits = Limits()
    parser = argparse.ArgumentParser(prog="python -m academy.runtime", description=__doc__)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="folder of the base model")
    add("--name", type=_name, help="what requests call it (default: the folder's name)")
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=int, default=8100, help="port to listen on (default %(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
    add("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    add(
        "--adapter-root",
        type=Path,
        action="append",
        default=[],
        help="load adapters from below this folder only; may be repeated (default: anywhere)",
    )
    add("--max-running", type=_count, default=limits.running, help="requests decoded together")
    add("--max-queued", type=_count, default=limits.queued, help="requests that may wait")
    add("--max-adapters", type=_count, default=limits.adapters, help="adapters kept in memory")
    add("--request-seconds", type=_seconds, default=limits.request_seconds)
    add("--drain-seconds", type=_seconds, default=30.0, help="time for running requests at the end")
    add("--log-level", default="INFO", help="DEBUG, INFO, WARNING or ERROR")
    return parser


def _name(text: str) -> str:
    if not re.match(NAME_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r} must match {NAME_PATTERN}")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds above 0")
    return value


if __name__ == "__main__":
    main()
