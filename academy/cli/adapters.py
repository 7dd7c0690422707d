"""`academy adapters`: list, download and delete trained adapters."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from academy.cli.arguments import AsJson
from academy.errors import AcademyError

if TYPE_CHECKING:
    from academy.client import Client
    from academy.settings import Settings

adapters = typer.Typer(
    help="List trained adapters, download one, or delete one.", invoke_without_command=True
)

AdapterId = Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter's id.")]


class BadTarget(AcademyError):
    """The adapter cannot be written to {path}: {why}."""

    code = "bad_target"
    next_step = "Name a folder that is not there yet, in one that is, with -o."


class OtherBase(AcademyError):
    """The base model in {path} is not the one that {id} was trained on: its digest is {actual}, \
not {expected}."""

    code = "other_base"
    next_step = "Name the right folder with --base, or give --as-stored to decide later."


@adapters.callback()
def list_adapters(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List trained adapters (active ones are marked), or download or delete one."""
    if context.invoked_subcommand is not None:
        return
    from academy.cli.output import connect, print_json, print_table, short_time

    with connect() as client:
        answer = client.get("/adapters", limit=limit)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            "●" if each["is_active"] else "",
            each["adapter_id"],
            each["base_model"],
            short_time(each["created_at"]),
            each["adapter_path"],
        )
        for each in answer
    ]
    columns = ("", "adapter", "base model", "made", "path")
    print_table(columns, rows, "There are no adapters yet.", prose={"made"})


@adapters.command("download")
def download(
    adapter_id: AdapterId,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder to make; else ./ADAPTER.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="What the copy calls its base model: a folder, or a name on a model hub. Else the "
            "folder of that model on this machine, if it is here."
        ),
    ] = None,
    as_stored: Annotated[
        bool, typer.Option("--as-stored", help="Every byte as it is stored, for another Academy.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download an adapter as a folder that `peft.AutoPeftModelForCausalLM` loads."""
    from academy.artifacts.archive import unpack
    from academy.artifacts.base_name import base_of
    from academy.artifacts.manifest import verify_manifest
    from academy.cli.output import connect, print_json
    from academy.settings import Settings

    if base is not None and as_stored:
        raise typer.BadParameter("give either --base or --as-stored", param_hint="--base")
    settings = Settings.from_env()
    target = _free(out if out is not None else Path(adapter_id))
    with connect() as client:
        if not as_stored:
            base = _absolute(base) if base is not None else _base_here(client, settings, adapter_id)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
            packed, folder = Path(scratch, "archive"), Path(scratch, "folder")
            with packed.open("wb") as stream:
                digest = client.download_adapter(adapter_id, stream, base)
            unpack(packed, adapter_id, folder)
            verify_manifest(folder, digest)
            if base is not None:
                _require_its_base(adapter_id, folder, Path(base))
            named = base_of(folder)
            _free(target)
            folder.rename(target)
    if as_json:
        print_json({"path": str(target), "digest": digest, "base_model": named})
        return
    typer.echo(f"{target}: {digest}")
    if named is None or Path(named).is_dir():
        typer.echo(f"Base model: {named}")
    else:
        typer.echo(f"Base model: {named}, which has to resolve where it is loaded (see --base).")


@adapters.command("delete")
def delete(adapter_id: AdapterId, as_json: AsJson = False) -> None:
    """Delete an adapter that nothing names; its files go after the artifacts' grace time."""
    from academy.cli.output import connect, print_message
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.delete(f"/adapters/{quoted('adapter', adapter_id)}")
    print_message(answer, as_json)


def _free(target: Path) -> Path:
    """The target, absolute. Raises `BadTarget` unless it can be made: nothing is overwritten."""
    target = target.absolute()
    if target.exists() or target.is_symlink():
        raise BadTarget(path=target, why="it is there already")
    if not target.parent.is_dir():
        raise BadTarget(path=target, why=f"there is no folder {target.parent}")
    return target


def _absolute(base: str) -> str:
    """A folder by its whole path; a name on a hub as it is."""
    return str(Path(base).absolute()) if Path(base).is_dir() else base


def _base_here(client: Client, settings: Settings, adapter_id: str) -> str | None:
    """The folder of the adapter's base model on this machine, if it is here."""
    from academy.basemodels import folders
    from academy.errors import BaseModelUnavailable
    from academy.wire.sending import quoted

    name = client.get(f"/adapters/{quoted('adapter', adapter_id)}")["base_model"]
    try:
        return str(folders.find(name, settings.model_folders).path)
    except BaseModelUnavailable:
        return None


def _require_its_base(adapter_id: str, folder: Path, base: Path) -> None:
    """Raise `OtherBase` if `base` is a folder, and of another model than the adapter says."""
    import json

    from academy.basemodels import folders

    origin = folder / "academy.json"
    if not (base.is_dir() and origin.is_file()):
        return
    expected = json.loads(origin.read_text()).get("base_model", {}).get("digest")
    actual = folders.digest(base)
    if expected is not None and actual != expected:
        raise OtherBase(path=base, id=adapter_id, actual=actual, expected=expected)
