"""What can stop a curation run. Each one leaves no dataset folder behind."""

from __future__ import annotations

from academy.errors import AcademyError


class CurationStopped(AcademyError):
    """The curation was cancelled after {rows_read} rows were read; no dataset was left."""

    code = "curation_stopped"
    status = 409
    next_step = "Send the request again when you want the dataset after all."


class SourceFailed(AcademyError):
    """The source {source!r} failed after {rows_read} rows were read from it: {why}."""

    code = "source_failed"
    status = 422
    next_step = "Repair or leave out that source, then curate again; nothing was written."


class DatasetNotWritten(AcademyError):
    """The dataset could not be written to {path} after {rows_read} rows were read: {why}."""

    code = "storage"
    status = 507
    next_step = "Free some space (`academy doctor` shows how much there is), then curate again."


class NothingCurated(AcademyError):
    """No row was left of the {rows_read} that were read: {why}."""

    code = "nothing_curated"
    status = 422
    next_step = "Add lessons or repositories, or switch off the filter that dropped the most."


class NotPairs(AcademyError):
    """The row {id!r} has no rejected answer, so it cannot be written as a preference pair."""

    code = "not_pairs"
    status = 422
    next_step = "Choose another format, or curate a dataset of the format 'preference'."


class SourceAway(AcademyError):
    """The source {source!r} stayed away for longer than it is waited for: {why}."""

    code = "storage"
    status = 503
    next_step = "The curation is tried again by itself; see that PostgreSQL runs."


class UploadRefused(AcademyError):
    """The upload {path!r} was refused: {why}."""

    code = "upload_refused"
    status = 422
    next_step = "Correct the lines in the report and upload the file again."
