"""``/datasets``: looking at what curation made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint
from flask import Response, send_file

from academy.access.keys import Role
from academy.api.data.dataset_files import (
    file_of,
    lines_of,
    row_table,
    rows_at,
    rows_of,
)
from academy.api.data.datasets_shapes import (
    DatasetShown,
    DatasetsPage,
    DifferenceQuery,
    DifferenceShown,
    DownloadQuery,
    DropsPage,
    DropsQuery,
    RowsPage,
    RowsQuery,
    dataset_body,
)
from academy.api.data.lessons_shapes import Forgotten
from academy.basemodels import folders
from academy.curation.request import DatasetFormat
from academy.errors import InvalidRequest
from academy.store.data import datasets
from academy.store.data.tables import Dataset
from academy.web.artifacts import outlives
from academy.web.declarations import TEXT, answers, refuses
from academy.web.offload import offload
from academy.web.paging import PageQuery, more_after, page_of
from academy.web.permissions import allows
from academy.web.state import state
from academy.web.streamed import Streamed

if TYPE_CHECKING:
    from academy.artifacts.lines import Lines

blueprint = APIBlueprint("datasets", __name__, tag="Datasets")

_MEDIA_TYPES = {
    ".jsonl": "application/x-ndjson",
    ".json": "application/json",
    ".md": "text/markdown",
}
#: Rows that are converted at once for a download.
_CONVERTED_ROWS = 256


@blueprint.get("/datasets")
@allows(Role.VIEWER)
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(DatasetsPage)
def list_datasets(query: PageQuery) -> Response:
    """The curated datasets, newest first."""
    with state().reading() as session:
        page = page_of(query, lambda limit, after: datasets.page(session, limit=limit, after=after))
    return page.answer(DatasetsPage, "datasets", lambda each: dataset_body(each, _path(each)))


@blueprint.get("/datasets/<dataset_id>")
@allows(Role.VIEWER)
@blueprint.output(DatasetShown)
def show_dataset(dataset_id: str) -> dict[str, Any]:
    """One dataset with its statistics."""
    found = _get(dataset_id)
    return dataset_body(found, _path(found))


@blueprint.delete("/datasets/<dataset_id>")
@allows(Role.OPERATOR)
@refuses(409)
@blueprint.output(Forgotten)
def delete_dataset(dataset_id: str) -> dict[str, Any]:
    """Delete a dataset that nothing names; else 409 with what does.

    Jobs that are over keep its id in their history. Its files leave the artifact store after
    `ACADEMY_ARTIFACT_GRACE_SECONDS`.
    """
    outlives(_get(dataset_id).key)
    with state().sessions.begin() as session:
        datasets.delete(session, dataset_id)
    return {"message": f"Dataset {dataset_id!r} deleted", "id": dataset_id}


@blueprint.get("/datasets/<dataset_id>/rows")
@allows(Role.VIEWER)
@blueprint.input(RowsQuery, location="query", arg_name="query")
@blueprint.output(RowsPage)
def dataset_rows(dataset_id: str, query: RowsQuery) -> dict[str, Any]:
    """The rows of a dataset, in their order, from any place on.

    With ``base_model`` each row has a ``preview``: the model's chat template applied, with the
    number of tokens, and which of them are learnt.
    """
    model = None
    if query.base_model is not None:
        model = folders.find(query.base_model, state().settings.model_folders)
    lines = lines_of(_get(dataset_id), query.split)
    rows = rows_of(lines, query.after, query.limit)
    if model is not None:
        from academy.curation.dataset.preview import previews

        shown = offload(previews, rows, model.path, query.max_seq_length)
        rows = [{**row, "preview": each} for row, each in zip(rows, shown, strict=True)]
    end = query.after + len(rows)
    return {
        "dataset_id": dataset_id,
        "count": len(rows),
        "total": lines.count,
        "rows": rows,
        **more_after(end, lines.count),
    }


@blueprint.get("/datasets/<dataset_id>/drops")
@allows(Role.VIEWER)
@blueprint.input(DropsQuery, location="query", arg_name="query")
@blueprint.output(DropsPage)
def dataset_drops(dataset_id: str, query: DropsQuery) -> dict[str, Any]:
    """Samples of what was dropped, with the filter and its reason."""
    lines = lines_of(_get(dataset_id), "drops")
    # Twenty of each filter at most, so the file is small.
    drops = [
        each
        for each in rows_of(lines, 0, lines.count)
        if query.filter is None or each.get("filter") == query.filter
    ]
    found = drops[query.after : query.after + query.limit]
    end = query.after + len(found)
    return {
        "dataset_id": dataset_id,
        "count": len(found),
        "drops": found,
        **more_after(end, len(drops)),
    }


@blueprint.get("/datasets/<dataset_id>/card")
@allows(Role.VIEWER)
@refuses(412)
@answers(200, "The card, in Markdown.", TEXT, "text/markdown")
def dataset_card(dataset_id: str) -> Response:
    """The dataset's card: what is in it, where it comes from and what was left out, in words."""
    path = file_of(_get(dataset_id), "card")
    return send_file(path, mimetype="text/markdown", conditional=True, etag=True)


@blueprint.get("/datasets/<dataset_id>/download")
@allows(Role.VIEWER)
@refuses(412)
@blueprint.input(DownloadQuery, location="query", arg_name="query")
@answers(200, "Rows, or samples of drops.", TEXT, _MEDIA_TYPES[".jsonl"])
@answers(200, "The statistics or the manifest.", {"type": "object"}, _MEDIA_TYPES[".json"])
@answers(200, "The card.", TEXT, _MEDIA_TYPES[".md"])
def download_dataset(dataset_id: str, query: DownloadQuery) -> Response:
    """A file of a dataset, by default its training rows in the format that was asked for.

    With ``format`` the training or held-out rows in any format; pairs only if it holds pairs.
    """
    dataset = _get(dataset_id)
    if query.format is not None:
        return _converted(dataset, query, query.format)
    path = file_of(dataset, query.file)
    return send_file(
        path,
        mimetype=_MEDIA_TYPES[path.suffix],
        as_attachment=True,
        download_name=f"{dataset_id}-{path.name}",
        conditional=True,
        etag=True,
    )


@blueprint.get("/datasets/diff")
@allows(Role.VIEWER)
@blueprint.input(DifferenceQuery, location="query", arg_name="query")
@blueprint.output(DifferenceShown)
def diff_datasets(query: DifferenceQuery) -> dict[str, Any]:
    """How dataset ``b`` differs from dataset ``a``: rows, options and figures.

    Rows are compared by their ids. The first comparison of a large dataset reads all of it.
    """
    from academy.curation.dataset.difference import compare_rows, compare_values

    a, b = _get(query.a), _get(query.b)
    table_a, table_b = row_table(a), row_table(b)
    rows = offload(compare_rows, table_a, table_b)
    found = [] if query.kind is None else getattr(rows, query.kind)
    part = found[query.after : query.after + query.limit]
    # One column of entries for each dataset that has the row.
    before = part if query.kind == "removed" else [each[0] for each in _paired(query, part)]
    after = part if query.kind == "added" else [each[1] for each in _paired(query, part)]
    end = query.after + len(part)
    return {
        "a": a.id,
        "b": b.id,
        "counts": rows.counts(),
        "request": compare_values(a.request, b.request),
        "statistics": compare_values(_figures(a), _figures(b)),
        "kind": query.kind,
        "count": len(part),
        "rows": _side_by_side(rows_at(a, table_a, before), rows_at(b, table_b, after)),
        **more_after(end, len(found)),
    }


def _paired(query: DifferenceQuery, part: Any) -> Any:
    return part if query.kind in {"changed", "moved"} else []


def _side_by_side(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """``{id, a, b}`` for each row; a side that lacks it is null."""
    return [
        {"id": (a or b or {}).get("id"), "a": a, "b": b}
        for a, b in zip_longest(before, after, fillvalue=None)
    ]


def _figures(dataset: Dataset) -> dict[str, Any]:
    """The statistics without the request, which is compared on its own, and without sentences."""
    left_out = {"request", "advice"}
    return {name: each for name, each in dataset.statistics.items() if name not in left_out}


def _converted(dataset: Dataset, query: DownloadQuery, format: DatasetFormat) -> Response:
    """The rows in another format, converted while they are sent."""
    from academy.curation.dataset.formats import in_format

    split = {"dataset": "train", "train": "train", "heldout": "heldout"}.get(query.file)
    if split is None:
        raise InvalidRequest(
            detail=f"{query.file} holds no rows that could be written as {format}.",
            errors=[
                {"pointer": "/file", "detail": "no rows", "allowed": "dataset, train, heldout"}
            ],
        )
    lines = lines_of(dataset, split)
    for row in rows_of(lines, 0, 1):
        in_format(row, format)  # raises `NotPairs` while the answer can still say so

    def chunks() -> Iterator[bytes]:
        for start in range(0, lines.count, _CONVERTED_ROWS):
            yield offload(_convert, lines, start, format)

    answer = Streamed(chunks(), mimetype=_MEDIA_TYPES[".jsonl"])
    name = f"{dataset.id}-{split}-{format}.jsonl"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _convert(lines: Lines, start: int, format: DatasetFormat) -> bytes:
    from academy.curation.dataset.formats import in_format

    return b"".join(
        json.dumps(in_format(json.loads(line), format), ensure_ascii=False).encode() + b"\n"
        for line in lines.part(start, _CONVERTED_ROWS)
    )


def _get(dataset_id: str) -> Dataset:
    with state().reading() as session:
        return datasets.get(session, dataset_id)


def _path(dataset: Dataset) -> str:
    return f"{state().settings.artifacts_url}/{dataset.key}/dataset.jsonl"
