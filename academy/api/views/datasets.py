"""``/datasets``: looking at what curation made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from apiflask import APIBlueprint
from flask import Response, jsonify, send_file

from academy.access import Role
from academy.api.guard import allows
from academy.api.lists import PageQuery, page_of
from academy.api.shapes.base import text_answer
from academy.api.shapes.datasets import (
    DatasetShown,
    DatasetsPage,
    DownloadQuery,
    DropsPage,
    DropsQuery,
    RowsPage,
    RowsQuery,
    dataset_body,
)
from academy.api.state import state
from academy.errors import NotFound
from academy.store import datasets
from academy.store.tables import Dataset

blueprint = APIBlueprint("datasets", __name__, tag="Datasets")

_FILES = {
    "dataset": "dataset.jsonl",
    "train": "train.jsonl",
    "heldout": "heldout.jsonl",
    "drops": "drops.jsonl",
    "statistics": "statistics.json",
    "manifest": "manifest.json",
}


@blueprint.get("/datasets")
@allows(Role.VIEWER)
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(DatasetsPage)
def list_datasets(query: PageQuery) -> Response:
    """The curated datasets, newest first."""
    with state().sessions() as session:
        page = page_of(query, lambda limit, after: datasets.page(session, limit=limit, after=after))
    body = {
        "count": len(page.rows),
        "datasets": [dataset_body(each, _path(each)) for each in page.rows],
        "has_more": page.has_more,
        "next": page.next,
    }
    return page.link(jsonify(DatasetsPage.model_validate(body).model_dump(mode="json")))


@blueprint.get("/datasets/<dataset_id>")
@allows(Role.VIEWER)
@blueprint.output(DatasetShown)
def show_dataset(dataset_id: str) -> dict[str, Any]:
    """One dataset with its statistics."""
    found = _get(dataset_id)
    return dataset_body(found, _path(found))


@blueprint.get("/datasets/<dataset_id>/rows")
@allows(Role.VIEWER)
@blueprint.input(RowsQuery, location="query", arg_name="query")
@blueprint.output(RowsPage)
def dataset_rows(dataset_id: str, query: RowsQuery) -> dict[str, Any]:
    """The rows of a dataset, in their order."""
    rows = _objects(_file(_get(dataset_id), query.split))
    return {"dataset_id": dataset_id, **_part("rows", rows, query.limit, query.after)}


@blueprint.get("/datasets/<dataset_id>/drops")
@allows(Role.VIEWER)
@blueprint.input(DropsQuery, location="query", arg_name="query")
@blueprint.output(DropsPage)
def dataset_drops(dataset_id: str, query: DropsQuery) -> dict[str, Any]:
    """Samples of what was dropped, with the filter and its reason."""
    drops = (
        each
        for each in _objects(_file(_get(dataset_id), "drops"))
        if query.filter is None or each.get("filter") == query.filter
    )
    return {"dataset_id": dataset_id, **_part("drops", drops, query.limit, query.after)}


@blueprint.get("/datasets/<dataset_id>/download")
@allows(Role.VIEWER)
@blueprint.input(DownloadQuery, location="query", arg_name="query")
@blueprint.doc(
    responses=text_answer("The file, as JSON lines or JSON.", "application/octet-stream")
)
def download_dataset(dataset_id: str, query: DownloadQuery) -> Response:
    """A file of a dataset, by default its training rows in the format that was asked for."""
    path = _file(_get(dataset_id), query.file)
    return send_file(
        path,
        mimetype="application/x-ndjson" if path.suffix == ".jsonl" else "application/json",
        as_attachment=True,
        download_name=f"{dataset_id}-{path.name}",
        conditional=True,
        etag=True,
    )


def _get(dataset_id: str) -> Dataset:
    with state().sessions() as session:
        return datasets.get(session, dataset_id)


def _path(dataset: Dataset) -> str:
    return f"{state().settings.artifacts_url}/{dataset.key}/dataset.jsonl"


def _file(dataset: Dataset, name: str) -> Path:
    """A file of the verified folder. Raises `DigestMismatch`, `StorageFailure` or `NotFound`."""
    from academy.artifacts.store import ArtifactStore  # fsspec is needed only where files are read

    path = ArtifactStore(state().settings).fetch(dataset.key, dataset.digest) / _FILES[name]
    if not path.is_file():
        raise NotFound(noun=f"file of the dataset {dataset.id!r} named", id=_FILES[name])
    return path


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as stream:
        for line in stream:
            if line.strip():
                yield json.loads(line)


def _part(name: str, rows: Iterator[dict[str, Any]], limit: int, after: int) -> dict[str, Any]:
    """`limit` rows behind the first `after`; files are read in order, so places are cursors."""
    found = list(islice(rows, after, after + limit + 1))
    has_more = len(found) > limit
    found = found[:limit]
    return {
        "count": len(found),
        name: found,
        "has_more": has_more,
        "next": after + limit if has_more else None,
    }
