"""What schemathesis has to be told of Academy; it loads this file itself.

Nothing here switches a check off. A refusal of a request that fits the document is passed over only
if its problem's code says that what was named is not in this installation, or if the endpoint has a
rule that JSON Schema has no words for, which stands here beside it.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import schemathesis

_numbers = itertools.count(1)

_WAITING = {"POST /api/v1/academy/dataset", "POST /api/v1/academy/datasets/upload"}

#: What is asked for has the right form and is not there, or not enough of it.
_NOT_HERE = {
    "base_model_unavailable",
    "dataset_too_small",
    "repository_refused",
    "bad_dataset",
    "bad_spec",
    "nothing_curated",
    "not_pairs",
    "upload_refused",
    "target_refused",
}

#: Rules that the document cannot say, by operation.
_UNSAID = {
    "GET /api/v1/academy/adapters": "a cursor is one that a page of this list gave",
    "GET /api/v1/academy/datasets": "a cursor is one that a page of this list gave",
    "GET /api/v1/academy/jobs": "a cursor is one that a page of this list gave",
    "GET /api/v1/academy/lessons": "a cursor is one that a page of this list gave",
    "GET /api/v1/academy/runs": "a cursor is one that a page of this list gave",
    "GET /api/v1/academy/schedules": "a cursor is one that a page of this list gave",
    "GET /api/v1/academy/train/sweep": "a cursor is one that a page of this list gave",
    "GET /api/v1/academy/webhooks/{webhook_id}/deliveries": "a cursor is one that a page gave",
    "POST /api/v1/academy/webhooks": "a pattern stands for a type that there is",
    "PATCH /api/v1/academy/webhooks/{webhook_id}": "a pattern stands for a type that there is",
    "GET /api/v1/academy/datasets/{dataset_id}/download": "only files of rows have formats",
    "POST /api/v1/academy/adapters/activate": "an alias is called like no model and no adapter",
    "POST /api/v1/academy/adapters/deactivate": "an alias is called like no model and no adapter",
    "POST /api/v1/academy/dataset": "options that contradict each other, such as its sources",
    "POST /api/v1/academy/datasets/upload": "the file's lines, and the options of its form",
    "POST /api/v1/academy/jobs": "'request' is that of the kind, as GET /jobs/kinds shows it",
    "POST /api/v1/academy/runs": "the last message is not the assistant's",
    "POST /api/v1/academy/schedules": "'request' is that of the kind; cron, zones, intervals",
    "PUT /api/v1/academy/schedules/{name}": "'request' is that of the kind; cron, zones, intervals",
    "POST /api/v1/academy/train": "a recipe's fields that contradict each other",
    "POST /api/v1/academy/train/preflight": "a recipe's fields that contradict each other",
    "POST /api/v1/academy/train/sweep": "'training' is a recipe, and knobs are its fields",
    "POST /v1/chat/completions": "the model server reads messages and options itself",
}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Let no request wait long, be taken for a repetition, or revoke the run's own key."""
    for name in list(case.headers or {}):
        if name.lower() == "idempotency-key" and _is_positive(case):
            case.headers[name] = f"request-{next(_numbers)}"
        elif name.lower() == "last-event-id" and _is_positive(case):
            case.headers[name] = "0-0"  # the coverage phase makes headers regardless of `pattern`
        elif name.lower() == "prefer":
            case.headers[name] = "wait=0"
    if (case.path_parameters or {}).get("key_id") == os.environ["CONTRACT_KEY_ID"]:
        case.path_parameters["key_id"] = "key_of_nobody"
    if case.operation.label in {
        "POST /api/v1/academy/dataset",
        "POST /api/v1/academy/datasets/upload",
    }:
        case.headers["Prefer"] = "wait=0"


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failure counts."""
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    problem = response.json()
    if problem["code"] in _NOT_HERE:
        return False
    return not (problem["code"] == "invalid_request" and case.operation.label in _UNSAID)


def _is_positive(case: Any) -> bool:
    return case.meta is None or case.meta.generation.mode.is_positive
