"""``/datasets/upload``: a file becomes a dataset, or a report says why not."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import ValidationError

from academy.access.keys import Role
from academy.api.data.curation import (
    answer_of,
    may_still_work,
    preferred_wait,
    reads_wait,
    wait_for,
)
from academy.api.data.uploads_shapes import DatasetUploaded, UploadForgotten, UploadOptions
from academy.basemodels import folders
from academy.curation.request import CurationRequest
from academy.errors import InvalidRequest
from academy.store.engine import Session
from academy.validation.reading import errors_of
from academy.web.file_bodies import Received, received, takes_file
from academy.web.idempotency import Answer, creates, idempotent, publish_hints
from academy.web.offload import offload
from academy.web.permissions import allows, principal
from academy.web.state import state
from academy.web.strict_json import read_texts

blueprint = APIBlueprint("uploads", __name__, tag="Datasets")


@blueprint.post("/datasets/upload")
@allows(Role.OPERATOR)
@creates
@takes_file
@reads_wait
@may_still_work
@blueprint.input(UploadOptions, location="query", arg_name="options")
@blueprint.output(DatasetUploaded, status_code=201)
def upload_dataset(options: UploadOptions) -> Response:
    """Make a dataset of a JSONL or Parquet file, the body itself or the part ``file`` of a form.

    The whole file is checked first. With a bad line nothing is stored, and the answer is 422 with
    line, JSON pointer, code and reason of each (the first 1,000) in ``errors``. Else the rows go
    through the same filters as all others; the answer is 201 when the dataset is there within the
    seconds of ``Prefer: wait=N``, and 202 with its ``Location`` when it is not.
    """
    from academy.curation.uploads.check import check_upload, report_body

    wait_seconds, settings = preferred_wait(), state().settings
    with received(request, settings) as file:
        options = _options(file)
        if options.base_model is not None:
            folders.find(options.base_model, settings.model_folders)
        report = check_upload(file.path, file.name, max_bytes=settings.api.max_upload_bytes)
        _require_pairs(options, report.format or "", file.name)
        submitted = idempotent(
            lambda session: _submit(session, file, options, report.format or ""),
            body_sha256=_fingerprint(file, options),
        )
    publish_hints()
    job = wait_for(submitted.body["job_id"], wait_seconds)
    answer = answer_of(
        job, made=201, upload_id=submitted.body["upload_id"], report=report_body(report)
    )
    if submitted.replayed:
        answer.headers["Idempotency-Replayed"] = "true"
    return answer


@blueprint.delete("/datasets/uploads/<upload_id>")
@allows(Role.OPERATOR)
@blueprint.output(UploadForgotten)
def forget_upload(upload_id: str) -> dict[str, Any]:
    """Stop keeping an uploaded file. The datasets that were made of it stay."""
    from academy.artifacts.store import ArtifactStore
    from academy.curation.uploads import kept

    offload(kept.forget, ArtifactStore(state().settings), upload_id)
    return {"success": True, "message": f"{upload_id} is not kept any more", "upload_id": upload_id}


def _submit(session: Session, file: Received, options: UploadOptions, format: str) -> Answer:
    from academy.artifacts.store import ArtifactStore
    from academy.curation.submission import submit_curation
    from academy.curation.uploads import kept

    settings = state().settings
    _curation(options, "upload", format)  # what is wrong with the options shows before it is kept
    upload_id = offload(kept.keep, ArtifactStore(settings), file.path)
    wanted = _curation(options, upload_id, format)
    job = submit_curation(session, settings, wanted, principal().name)
    return Answer({"job_id": job.id, "upload_id": upload_id}, 202)


def _options(file: Received) -> UploadOptions:
    """The options of the query string and of the form together."""
    found = request.args.copy()
    found.update(file.fields)
    return read_texts(found, UploadOptions, "option")


def _curation(options: UploadOptions, upload_id: str, format: str) -> CurationRequest:
    try:
        return options.curation(upload_id, format)
    except ValidationError as error:  # a filter's name, which only the request itself knows
        errors = errors_of(error, {}, CurationRequest)
        raise InvalidRequest(detail=errors[0]["detail"], errors=errors) from None


def _require_pairs(options: UploadOptions, format: str, name: str) -> None:
    if options.format == "preference" and format != "preference":
        raise InvalidRequest(
            detail=f"format is 'preference', but {name} is {format} and has no rejected answers.",
            errors=[{"pointer": "/format", "detail": "the file has no pairs", "allowed": format}],
        )


def _fingerprint(file: Received, options: UploadOptions) -> str:
    text = file.sha256 + json.dumps(options.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
