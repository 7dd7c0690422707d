"""``python -m academy.trainer SPEC.json --out DIR [--lifeline]``: train one adapter.

Standard output carries JSON events only, everything else goes to standard error. Exit status: 0
done, 2 the spec or the data cannot be trained on as they are, 3 cancelled after a checkpoint,
4 out of memory, 1 anything else. A recipe for several GPUs or hosts starts a process for each GPU
of this host.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

from academy.errors import AcademyError
from academy.host.parent import follow_lifeline
from academy.host.quick_imports import quick_imports
from academy.trainer.ranks.local_ranks import (
    BAD_SPEC,
    CANCELLED,
    DONE,
    LOST_A_RANK,
    OTHER,
    OUT_OF_MEMORY,
    train_in_ranks,
)
from academy.trainer.report import Report
from academy.trainer.spec import read_spec, verify_dataset
from academy.trainer.stop import Cancelled, StopRequest

_USERS_OWN = {"bad_spec", "bad_dataset", "base_model_unavailable", "digest_mismatch"}


class OutOfMemory(AcademyError):
    """There was not enough memory: {why}."""

    code = "out_of_memory"
    next_step = "Lower batch_size (and raise gradient_accumulation alike) or max_seq_length."


class Internal(AcademyError):
    """The trainer failed: {why}."""

    code = "internal"
    next_step = "The traceback is in the trainer's standard error; please report it."


def main(arguments: list[str] | None = None) -> int:
    """Train as the command line says; the exit status."""
    parser = argparse.ArgumentParser(prog="academy.trainer", description=__doc__)
    parser.add_argument("spec", type=Path, help="the spec file")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--lifeline", action="store_true", help="exit when standard input ends")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rendezvous", default="", help=argparse.SUPPRESS)
    parser.add_argument("--listen-fd", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.lifeline:
        follow_lifeline()
    errors = Report.on_stdout()
    # One process of several speaks for all, but each may say why it ends.
    report = Report.to_nobody() if given.rank else errors
    stop = StopRequest()
    stop.on_signals()
    try:
        spec = read_spec(given.spec)
        report.stage("preparing", f"reading the dataset and the model {spec.base_model.name}")
        digest = verify_dataset(spec.dataset)
        stop.check()
        if spec.recipe.processes > 1 and given.rank is None:
            return train_in_ranks(spec, given.spec, given.out, errors, stop)
        # The libraries read these when they are imported, which takes seconds and so comes last:
        # a trainer never asks the network for anything, and its tokenizer needs no threads.
        os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
        with quick_imports():
            from academy.trainer.job import Place, run_job

        place_among = (given.rank or 0, given.rendezvous, given.listen_fd)
        place = Place(given.out.absolute(), report, stop, *place_among)
        report.result(run_job(spec, digest, place))
    except Cancelled:
        report.log("stopped as asked")
        return CANCELLED
    except AcademyError as error:
        if error.code == "trainer_crashed":
            traceback.print_exc()
            return LOST_A_RANK  # the process that started this one knows which, and says so
        errors.error(error)
        return BAD_SPEC if error.code in _USERS_OWN else OTHER
    except Exception as error:
        traceback.print_exc()
        if is_out_of_memory(error):
            errors.error(OutOfMemory(why=_first_line(error)))
            return OUT_OF_MEMORY
        errors.error(Internal(why=f"{type(error).__name__}: {_first_line(error)}"))
        return OTHER
    return DONE


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on the GPU or on the host.

    Torch's CPU allocator raises a plain RuntimeError, which only its text tells apart.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "out of memory" in text
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]


if __name__ == "__main__":
    status = main()
    # While Python winds up, signals have their defaults again: a late SIGTERM would undo a success.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
