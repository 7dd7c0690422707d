"""Datasets: what curation answers, and how a dataset is looked at."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from academy.curation.request import DatasetFormat
from academy.lifecycle import Status
from academy.store.data.tables import Dataset
from academy.web.shapes import Done, Sent, Shown


class DatasetCurated(Done):
    """A dataset that is ready."""

    dataset_path: str
    statistics: dict[str, Any] = Field(
        description="total_examples, lessons_collected, git_commits_collected, removed_low_quality,"
        " avg_input_length, avg_output_length (characters), and more"
    )
    job_id: str
    dataset_id: str


class CurationStarted(Done):
    """A curation that goes on."""

    job_id: str
    status: Status


class DatasetShown(Shown):
    """A curated dataset."""

    dataset_id: str
    digest: str
    format: str
    train_rows: int
    heldout_rows: int
    statistics: dict[str, Any]
    request: dict[str, Any]
    dataset_path: str
    job_id: str | None
    created_at: datetime


class DatasetsPage(Shown):
    """A part of the datasets, newest first."""

    count: int
    datasets: list[DatasetShown]
    has_more: bool
    next: str | None


class RowsQuery(Sent):
    """Which rows of a dataset."""

    split: Literal["train", "heldout"] = Field("train", description="which part of the dataset")
    limit: int = Field(50, ge=1, le=500, description="how many rows at most")
    after: int = Field(0, ge=0, description="how many rows to pass over: the 'next' of a page")
    base_model: str | None = Field(
        None,
        max_length=200,
        description="base model by whose chat template and tokens each row has its 'preview'",
    )
    max_seq_length: int | None = Field(
        None, ge=16, le=131_072, description="longest row in tokens, for the preview"
    )


class DropsQuery(Sent):
    """Which dropped rows."""

    filter: str | None = Field(None, max_length=100, description="only those this filter dropped")
    limit: int = Field(50, ge=1, le=500, description="how many rows at most")
    after: int = Field(0, ge=0, description="how many rows to pass over: the 'next' of a page")


class RowsPage(Shown):
    """A part of a dataset's rows, in their order."""

    dataset_id: str
    count: int
    total: int = Field(description="rows of this part of the dataset")
    rows: list[dict[str, Any]] = Field(
        description="canonical rows; with base_model each has a 'preview': tokens, learnt_tokens, "
        "cut, segments of text, tokens and learnt; or why it is left_out"
    )
    has_more: bool
    next: int | None


class DropsPage(Shown):
    """Samples of what curation dropped, and why."""

    dataset_id: str
    count: int
    drops: list[dict[str, Any]]
    has_more: bool
    next: int | None


class DownloadQuery(Sent):
    """Which file of a dataset, or which rows in which format."""

    file: Literal["dataset", "train", "heldout", "drops", "statistics", "card", "manifest"] = Field(
        "dataset", description="'dataset' holds the training rows in the format asked for"
    )
    format: DatasetFormat | None = Field(
        None, description="the rows of 'dataset', 'train' or 'heldout' in another format"
    )


class DifferenceQuery(Sent):
    """Two datasets, and which of the rows that differ to show."""

    a: str = Field(max_length=200, description="the dataset before")
    b: str = Field(max_length=200, description="the dataset after")
    kind: Literal["added", "removed", "changed", "moved"] | None = Field(
        None, description="rows of this kind; left out: counts only"
    )
    limit: int = Field(50, ge=1, le=500, description="how many rows at most")
    after: int = Field(0, ge=0, description="how many rows to pass over: the 'next' of a page")


class DifferenceShown(Shown):
    """How dataset b differs from dataset a."""

    a: str
    b: str
    counts: dict[str, int] = Field(
        description="rows added, removed, changed (the same id says something else), moved (to the "
        "other side of the split) and unchanged"
    )
    request: dict[str, Any] = Field(description="options that differ: {name: {a, b}}")
    statistics: dict[str, Any] = Field(description="figures that differ: {name: {a, b}}")
    kind: str | None
    count: int
    rows: list[dict[str, Any]] = Field(description="{id, a, b}: the row before and after")
    has_more: bool
    next: int | None


def dataset_body(dataset: Dataset, path: str) -> dict[str, Any]:
    """The fields of `DatasetShown`."""
    return {
        "dataset_id": dataset.id,
        "digest": dataset.digest,
        "format": dataset.format,
        "train_rows": dataset.train_rows,
        "heldout_rows": dataset.heldout_rows,
        "statistics": dataset.statistics,
        "request": dataset.request,
        "dataset_path": path,
        "job_id": dataset.job_id,
        "created_at": dataset.created_at,
    }
