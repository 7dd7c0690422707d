"""Uploads: how a file becomes a dataset, and what its check found."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, Field

from academy.curation.request import CurationRequest, DatasetFormat
from academy.web.shapes import Done, Sent, Shown


class UploadOptions(Sent):
    """How the dataset is made of the file; in the query string, or as fields of the form."""

    format: DatasetFormat | None = Field(
        None, description="format of dataset.jsonl; left out: the file's own"
    )
    base_model: str | None = Field(
        None, max_length=200, description="base model whose tokenizer counts tokens"
    )
    heldout_fraction: float = Field(
        0.2,
        ge=0,
        le=0.9,
        validation_alias=AliasChoices("heldout_fraction", "split"),
        description="share of the rows held out for evaluation",
    )
    min_answer_chars: int = Field(3, ge=1, le=10_000, description="shortest answer, in characters")
    max_row_chars: int = Field(
        20_000, ge=100, le=1_000_000, description="longest row, in characters"
    )
    disabled_filters: str = Field(
        "", max_length=1000, description="filters to switch off, by name, separated by commas"
    )
    near_duplicate_jaccard: float = Field(
        0.8, ge=0.5, le=1.0, description="similarity from which a row is a near duplicate"
    )
    secrets: Literal["redact", "drop"] = Field(
        "redact", description="replace a secret by its kind, or drop its row"
    )
    mask_emails: bool = Field(True, description="mask e-mail addresses and names beside them")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of the split and of the samples")

    def curation(self, upload_id: str, file_format: str) -> CurationRequest:
        """The curation that reads this file and nothing else."""
        names = tuple(each.strip() for each in self.disabled_filters.split(",") if each.strip())
        return CurationRequest.model_validate(
            {
                **self.model_dump(),
                "format": self.format or file_format,
                "disabled_filters": names,
                "lessons_limit": 0,
                "git_commits_limit": 0,
                "repositories": (),
                "uploads": (upload_id,),
            }
        )


class UploadReported(Shown):
    """What the check of a file found. With a bad line the answer is 422 and lists them."""

    format: str | None = Field(
        description="alpaca, sharegpt, openai, prompt-completion, preference"
    )
    rows: int
    bad_rows: int
    problems_total: int
    problems_shown: int = Field(description="how many of them are in errors, 1,000 at most")
    ignored: dict[str, int] = Field(
        description="what the rows have and no training uses, by its place: /messages/*/name"
    )


class DatasetUploaded(Done):
    """A dataset that was made of a file."""

    dataset_path: str
    statistics: dict[str, Any]
    job_id: str
    dataset_id: str
    upload_id: str = Field(description="names the file in 'uploads' of POST /dataset")
    report: UploadReported


class UploadForgotten(Done):
    """A file that is not kept any more."""

    upload_id: str
