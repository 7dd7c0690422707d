"""The spec file that tells a trainer what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from academy.artifacts.manifest import NAME as MANIFEST
from academy.artifacts.manifest import ManifestMissing, verify_manifest
from academy.errors import AcademyError, BaseModelUnavailable
from academy.recipes.recipe import Recipe

SCHEMA_VERSION = 1


class BadSpec(AcademyError):
    """This training cannot be carried out as asked: {detail}."""

    code = "bad_spec"
    status = 422
    next_step = "Correct what is named and submit the training again."


class BadDataset(AcademyError):
    """The dataset cannot be trained on: {detail}."""

    code = "bad_dataset"
    status = 422
    next_step = "Curate the dataset again, or correct what is named and upload it again."


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class BaseModelRef(_Value):
    """The base model: its name for people and records, its folder for loading."""

    name: str = Field(min_length=1, max_length=300)
    path: Path


class DatasetRef(_Value):
    """A dataset folder, and the digest it must have; without one it is taken as it is."""

    path: Path
    digest: str | None = Field(default=None, pattern="^sha256:[0-9a-f]{64}$")


class AdapterRef(_Value):
    """The folder of an adapter to start from, and the digest that it must have."""

    path: Path
    digest: str = Field(pattern="^sha256:[0-9a-f]{64}$")


class GangRef(_Value):
    """Which of several hosts this is, and where they meet.

    `address` is an IP address of this host that the others reach. `rendezvous` is the
    ``address:port`` of the first host, the one with place 0, which may leave it out.
    """

    place: int = Field(ge=0)
    address: str = Field(pattern=r"^[0-9a-fA-F.:]+$")
    rendezvous: str | None = Field(default=None, pattern=r"^[0-9a-fA-F.:]+:[0-9]{1,5}$")


class Spec(_Value):
    """One training: the content of SPEC.json."""

    schema_version: Literal[1]
    job_id: str = Field(min_length=1, max_length=200)
    attempt: int = Field(ge=1)
    base_model: BaseModelRef
    dataset: DatasetRef
    recipe: Recipe = Recipe()
    resume_from: Path | None = None
    init_adapter: AdapterRef | None = None
    gang: GangRef | None = None
    #: The host's memory for all its processes on one host together; none: what is free.
    memory_limit_bytes: int | None = Field(default=None, ge=1)


def read_spec(path: Path) -> Spec:
    """Read and check a spec file, and that what it names is there.

    Raises `BadSpec`, which names each wrong field, `BaseModelUnavailable`, `BadDataset`, and
    `DigestMismatch` for files that are not the ones that were recorded.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSpec(detail=f"the spec {path} cannot be read ({error})") from error
    try:
        spec = Spec.model_validate_json(text)
    except ValidationError as error:
        raise BadSpec(detail="; ".join(_explain(each) for each in error.errors())) from error
    folders = {
        "base_model.path": spec.base_model.path,
        "dataset.path": spec.dataset.path,
        "resume_from": spec.resume_from,
        "init_adapter.path": spec.init_adapter.path if spec.init_adapter else None,
    }
    for name, folder in folders.items():
        if folder is not None and not folder.is_absolute():
            raise BadSpec(detail=f"{name} is {str(folder)!r}, but it must be an absolute path")
    _check_gang(spec)
    if not (spec.base_model.path / "config.json").is_file():
        raise BaseModelUnavailable(name=spec.base_model.name, looked_in=str(spec.base_model.path))
    if spec.resume_from is not None and not spec.resume_from.is_dir():
        raise BadSpec(detail=f"resume_from is {str(spec.resume_from)!r}, which is not a folder")
    if (spec.init_adapter is None) != (spec.recipe.init_adapter is None):
        raise BadSpec(
            detail=f"recipe.init_adapter is {spec.recipe.init_adapter!r}, but the spec's "
            f"init_adapter, which says where it lies, is {spec.init_adapter!r}"
        )
    return spec


def _check_gang(spec: Spec) -> None:
    hosts, gang = spec.recipe.hosts, spec.gang
    if (hosts > 1) != (gang is not None):
        what = "missing" if gang is None else "there"
        raise BadSpec(detail=f"recipe.hosts is {hosts}, but the spec's gang is {what}")
    if gang is not None and gang.place >= hosts:
        raise BadSpec(detail=f"gang.place is {gang.place}, but recipe.hosts is {hosts}")
    if gang is not None and gang.place and gang.rendezvous is None:
        raise BadSpec(detail=f"gang.rendezvous is missing, and gang.place is {gang.place}")


def verify_dataset(dataset: DatasetRef) -> str | None:
    """The digest of the dataset folder after checking it; None for one without a manifest.

    Raises `BadDataset` for an incomplete folder and `DigestMismatch` for a changed one.
    """
    if not (dataset.path / "train.jsonl").is_file():
        raise BadDataset(detail=f"{dataset.path / 'train.jsonl'} is missing")
    if dataset.digest is None and not (dataset.path / MANIFEST).exists():
        return None  # a folder of the user's own making, which nobody vouches for
    try:
        return verify_manifest(dataset.path, dataset.digest)
    except ManifestMissing as error:
        raise BadDataset(detail=str(error)) from error


def _explain(error: object) -> str:
    """One pydantic error as "recipe.lora_rank: Input should be …, not 0"."""
    assert isinstance(error, dict)
    where = ".".join(str(part) for part in error["loc"]) or "the spec"
    if where == "schema_version":
        return f"schema_version is {error['input']!r}, but this trainer reads {SCHEMA_VERSION}"
    given = "" if error["type"] in ("missing", "json_invalid") else f", not {error['input']!r}"
    return f"{where}: {error['msg']}{given}"[:500]
