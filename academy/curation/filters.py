"""The rules for lessons, conversations and scored runs.

Each filter is a pure function of a record, its row and the request: it returns what it matched
(at most a line, shown to the user as the reason) or None to let the row pass. The first that
matches drops the row, so the counts add up to the input. Thresholds are fields of the request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from academy.basemodels.conversation import text_of
from academy.curation.request import CurationRequest
from academy.curation.sources import Lesson, Row, RunRecord, TaskRecord

Record = Lesson | TaskRecord | RunRecord | None
Filter = Callable[[Record, Row, CurationRequest], str | None]

_GOOD_OUTCOMES = frozenset(
    {
        "success",
        "successful",
        "succeeded",
        "ok",
        "done",
        "completed",
        "complete",
        "accepted",
        "true",
    }
)
_REFUSAL = re.compile(
    r"^\W*(?:(?:i'?m|i am) sorry,? (?:but )?|sorry,? (?:but )?|unfortunately,? )?"
    r"(?:as an? (?:ai|artificial intelligence)\b|i (?:can'?t|cannot|am unable to|won't) "
    r"(?:help|assist|do that|fulfil|answer|provide|complete|access))",
    re.IGNORECASE,
)


def first_match(
    filters: tuple[Filter, ...], record: Record, row: Row, request: CurationRequest
) -> tuple[str, str] | None:
    """Name of the first enabled filter that drops the row and what it matched, or None."""
    for each in filters:
        if request.uses(each.__name__):
            matched = each(record, row, request)
            if matched is not None:
                return each.__name__, matched
    return None


def empty_prompt(record: Record, row: Row, request: CurationRequest) -> str | None:
    """No word before the answer (Alpaca-cleaned: "empty instructions and inputs")."""
    asked = any(m["role"] == "user" and m["content"].strip() for m in row.messages[:-1])
    return None if asked else "nothing is asked"


def short_answer(record: Record, row: Row, request: CurationRequest) -> str | None:
    """An answer shorter than `min_answer_chars` (Alpaca-cleaned: "empty outputs")."""
    answer = row.answer.strip()
    if len(answer) < request.min_answer_chars or not any(c.isalnum() for c in answer):
        return f"answer {answer!r}"
    return None


def echoed_prompt(record: Record, row: Row, request: CurationRequest) -> str | None:
    """The answer repeats the question (our own rule: it would teach the model to echo)."""
    answer = " ".join(row.answer.split()).casefold()
    asked = [" ".join(text_of(m).split()).casefold() for m in row.messages[:-1]]
    return f"answer {row.answer[:80]!r} repeats the prompt" if answer in asked else None


def long_row(record: Record, row: Row, request: CurationRequest) -> str | None:
    """More characters than `max_row_chars`: the trainer would cut the answer off."""
    length = sum(len(text_of(m)) for m in row.messages)
    length += sum(len(json.dumps(each)) for each in row.tools)
    return f"{length} characters" if length > request.max_row_chars else None


def refusal(record: Record, row: Row, request: CurationRequest) -> str | None:
    """The answer begins with a canned refusal (Vicuna and Alpaca-cleaned remove these)."""
    found = _REFUSAL.match(row.answer)
    return found.group(0) if found else None


def low_quality(record: Record, row: Row, request: CurationRequest) -> str | None:
    """A lesson that was judged below `min_quality`; one that nobody judged passes."""
    if not isinstance(record, Lesson) or record.quality is None:
        return None
    # Written so that a quality of NaN is dropped as well.
    return None if record.quality >= request.min_quality else f"quality {record.quality}"


def unsuccessful_task(record: Record, row: Row, request: CurationRequest) -> str | None:
    """A conversation whose outcome is not a success (the seeds ask for successful ones)."""
    if isinstance(record, TaskRecord) and record.outcome.strip().casefold() not in _GOOD_OUTCOMES:
        return f"outcome {record.outcome!r}"
    return None


def low_reward(record: Record, row: Row, request: CurationRequest) -> str | None:
    """A run that nobody scored, or whose reward is below `min_reward` (the seeds ask for this)."""
    if not isinstance(record, RunRecord):
        return None
    if record.reward is None:
        return "nobody scored it"
    # Written so that a reward of NaN is dropped as well.
    return None if record.reward >= request.min_reward else f"reward {record.reward}"


def failing_tests(record: Record, row: Row, request: CurationRequest) -> str | None:
    """A scored run whose tests failed or did not run.

    Rewards alone are not enough: with the missing parts renormalised, 21% of the runs above the
    threshold had failing tests in our measurement.
    """
    if isinstance(record, RunRecord) and record.tests_passed is not True:
        return "no tests ran" if record.tests_passed is None else "tests failed"
    return None


def undecided_run(record: Record, row: Row, request: CurationRequest) -> str | None:
    """A run that is neither accepted nor rejected, so it cannot be either side of a pair.

    Our own rule: an untested run of high reward is no proof of a good answer, and no bad one.
    """
    if not isinstance(record, RunRecord) or is_accepted(record, row, request):
        return None
    failed = record.tests_passed is False
    poor = record.reward is not None and not record.reward >= request.min_reward
    return None if failed or poor else f"reward {record.reward}, tests {record.tests_passed}"


def is_accepted(record: RunRecord, row: Row, request: CurationRequest) -> bool:
    """Whether a run may be learned from: `low_reward` and `failing_tests` let it pass."""
    return first_match(_ACCEPTANCE, record, row, request) is None


_EVERY_ROW: tuple[Filter, ...] = (empty_prompt, short_answer, echoed_prompt, long_row, refusal)
LESSON_FILTERS: tuple[Filter, ...] = (*_EVERY_ROW, low_quality)
TASK_FILTERS: tuple[Filter, ...] = (unsuccessful_task, *_EVERY_ROW)
_ACCEPTANCE: tuple[Filter, ...] = (low_reward, failing_tests)
RUN_FILTERS: tuple[Filter, ...] = (*_ACCEPTANCE, *_EVERY_ROW)
CHOSEN_FILTERS: tuple[Filter, ...] = _EVERY_ROW
#: A bad answer may echo or refuse: that is why it is bad.
REJECTED_FILTERS: tuple[Filter, ...] = (undecided_run, empty_prompt, short_answer, long_row)
UPLOAD_FILTERS: tuple[Filter, ...] = _EVERY_ROW
