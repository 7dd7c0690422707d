"""Loading, unloading and listing what a server answers for, at vLLM's addresses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from academy.errors import MOST_SENT_CHARACTERS, AcademyError, InvalidRequest, shortened
from academy.runtime.bodies import json_body
from academy.runtime.chat import refusal
from academy.runtime.inference_engine import InferenceEngine
from academy.runtime.residents import Resident

#: A name goes into a header and into the model list, so it is one plain word.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}$"
_DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"


class PathOutside(AcademyError):
    """The path {path!r} is outside of the folders that adapters are loaded from."""

    code = "path_outside"
    status = 403
    next_step = "Put the adapter below one of the server's --adapter-root folders."


class LoadRequest(BaseModel):
    """What `POST /v1/load_lora_adapter` takes; without a digest the manifest's own is checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    lora_name: str = Field(pattern=NAME_PATTERN)
    lora_path: str = Field(min_length=1, max_length=4096)
    digest: str | None = Field(None, pattern=_DIGEST_PATTERN)


class UnloadRequest(BaseModel):
    """What `POST /v1/unload_lora_adapter` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    lora_name: str = Field(min_length=1, max_length=200)


def adapters(engine: InferenceEngine, roots: Sequence[Path], started_at: int) -> Blueprint:
    """The views for the adapters of `engine`, read from below `roots` (anywhere if empty)."""
    views = Blueprint("adapters", __name__)

    @views.get("/v1/models")
    def models() -> Response:
        shared: dict[str, Any] = {"object": "model", "owned_by": "academy"}
        shared |= {"max_model_len": engine.base.context_tokens}
        listed = [_base(engine, started_at)]
        listed += [_adapter(each, engine.name) for each in engine.residents()]
        return jsonify({"object": "list", "data": [shared | each for each in listed]})

    @views.post("/v1/load_lora_adapter")
    def load_lora_adapter() -> Response:
        wanted = _checked(LoadRequest, json_body())
        folder = _allowed(wanted.lora_path, roots)
        began = time.monotonic()
        resident, fresh = engine.load(wanted.lora_name, folder, wanted.digest)
        return jsonify(
            {
                "lora_name": resident.name,
                "digest": resident.files.digest,
                "loaded": fresh,
                "seconds": round(time.monotonic() - began, 4),
            }
        )

    @views.post("/v1/unload_lora_adapter")
    def unload_lora_adapter() -> Response:
        wanted = _checked(UnloadRequest, json_body())
        engine.unload(wanted.lora_name)
        return jsonify({"lora_name": wanted.lora_name, "unloaded": True})

    return views


def _base(engine: InferenceEngine, started_at: int) -> dict[str, Any]:
    return {
        "id": engine.name,
        "created": started_at,
        "root": str(engine.folder),
        "parent": None,
        "digest": None,
    }


def _adapter(resident: Resident, base: str) -> dict[str, Any]:
    return {
        "id": resident.name,
        "created": resident.loaded_at,
        "root": str(resident.files.folder),
        "parent": base,
        "digest": resident.files.digest,
    }


def _allowed(path: str, roots: Sequence[Path]) -> Path:
    shortly = shortened(path, MOST_SENT_CHARACTERS)
    try:
        folder = Path(path).resolve()  # links are followed first, so that none leads outside
        is_folder = folder.is_dir()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, links in a circle
        folder, is_folder = Path(), False
        if roots:
            raise PathOutside(path=shortly) from None
    if roots and not any(folder.is_relative_to(root) for root in roots):
        raise PathOutside(path=shortly)
    if not is_folder:
        raise InvalidRequest(
            detail=f"lora_path: {shortly!r} is not a folder on the model server's machine",
            errors=[{"pointer": "/lora_path", "detail": "it must be an existing folder"}],
        )
    return folder


Checked = TypeVar("Checked", bound=BaseModel)


def _checked(kind: type[Checked], body: dict[str, Any]) -> Checked:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise refusal(error) from None
