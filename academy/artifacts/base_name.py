"""Naming the base model in an adapter's folder, for whoever loads it with plain PEFT.

An adapter names its base model as this installation does, and its files never change. PEFT's
``AutoPeftModel`` looks that name up as a folder or on a model hub, so a copy that is to be loaded
elsewhere names the base model by what resolves there.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from academy.artifacts.manifest import NAME, ManifestMissing, digest_of, read_manifest

CONFIG = "adapter_config.json"
_FIELD = "base_model_name_or_path"


def with_base_named(folder: Path, base: str) -> tuple[dict[str, bytes], str]:
    """The files of an adapter's folder that differ where its base model is called `base`.

    The other manifest is among them; its digest is the second value. Raises `ManifestMissing` for a
    folder that is none of an adapter.
    """
    manifest = read_manifest(folder)
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise ManifestMissing(path=str(folder / CONFIG), why=type(error).__name__) from error
    config[_FIELD] = base
    content = _text(config)
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    files = {**manifest["files"], CONFIG: entry}
    digest = digest_of(files)
    return {CONFIG: content, NAME: _text({**manifest, "files": files, "digest": digest})}, digest


def base_of(folder: Path) -> str | None:
    """The base model that an adapter's folder names, as PEFT will look it up."""
    config = json.loads((folder / CONFIG).read_text())
    found = config.get(_FIELD)
    return None if found is None else str(found)


def _text(document: object) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
