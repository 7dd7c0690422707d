"""An adapter leaves as a folder that plain PEFT loads, every byte of it proven."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from academy.access.keys import Role
from academy.artifacts.archive import BadArchive, unpack
from academy.artifacts.manifest import verify_manifest
from academy.artifacts.store import ArtifactStore
from academy.cli.adapters import BadTarget, OtherBase
from academy.client import ApiError
from academy.settings import Settings
from academy.store.models.tables import Adapter

Run = Callable[..., str]


@pytest.fixture
def settings(settings: Settings, tiny_model: Path) -> Settings:
    """With the real tiny model in the place of the empty one."""
    shutil.copytree(tiny_model, settings.models.folders[0] / "tiny", dirs_exist_ok=True)
    return settings


@pytest.fixture
def here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command runs where the base models are."""
    monkeypatch.setenv("ACADEMY_MODELS", str(settings.models.folders[0]))


def answer_of(folder: Path) -> list[float]:
    """What the model in an adapter's folder computes, loaded by nothing but the folder's path."""
    import torch
    from peft import AutoPeftModelForCausalLM

    model = AutoPeftModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        return list(model(torch.arange(1, 9)[None]).logits[0, -1].tolist())


def test_a_download_is_the_stored_folder_and_the_same_bytes_each_time(
    admin, trained: Adapter, lora: Path, tmp_path: Path
) -> None:
    first, again = (admin.get("/adapters/training_real/download") for _ in range(2))
    assert first.status_code == 200 and first.mimetype == "application/gzip"
    assert first.headers["Content-Disposition"] == 'attachment; filename="training_real.tar.gz"'
    assert first.headers["X-Academy-Digest"] == trained.digest
    assert first.data == again.data
    (tmp_path / "archive").write_bytes(first.data)
    unpack(tmp_path / "archive", "training_real", tmp_path / "folder")
    assert verify_manifest(tmp_path / "folder", trained.digest) == trained.digest
    names = {path.name for path in lora.iterdir()}
    assert {path.name for path in (tmp_path / "folder").iterdir()} == names
    with tarfile.open(fileobj=io.BytesIO(first.data)) as members:
        assert {(each.mtime, each.uid, each.mode) for each in members} == {(0, 0, 0o644)}


def test_who_has_it_already_gets_304(admin, trained: Adapter) -> None:
    first = admin.get("/adapters/training_real/download")
    given = {"If-None-Match": first.headers["ETag"]}
    again = admin.get("/adapters/training_real/download", headers=given)
    assert (again.status_code, again.data) == (304, b"")
    other = admin.get("/adapters/training_real/download?base=/srv/tiny", headers=given)
    assert other.status_code == 200 and other.headers["ETag"] != first.headers["ETag"]
    assert (
        admin("HEAD", "/adapters/training_real/download").headers["ETag"] == given["If-None-Match"]
    )


def test_a_download_is_sent_while_it_is_made_and_never_gathered(admin, trained: Adapter) -> None:
    path = f"/adapters/{trained.id}/download"
    for answer in (admin.get(path, buffered=False), admin("HEAD", path)):
        assert answer.status_code == 200
        assert "Content-Length" not in answer.headers
        answer.close()


def test_who_wants_another_version_gets_a_problem_and_no_file(
    admin, trained: Adapter, dataset: str
) -> None:
    for path in (
        "/adapters/training_real/download",
        f"/datasets/{dataset}/download",
        f"/datasets/{dataset}/download?file=manifest",
    ):
        answer = admin.get(path, headers={"If-Match": '"another"'})
        assert (answer.status_code, answer.json["code"]) == (412, "precondition_failed")
        assert answer.content_length < 1000


def test_files_that_were_changed_are_not_given(admin, trained: Adapter, settings: Settings) -> None:
    root = ArtifactStore(settings).local_root
    assert root is not None
    config = root / trained.key / "adapter_config.json"
    config.unlink()  # it may be a link to the file that was published
    config.write_text("{}")
    refused = admin.get("/adapters/training_real/download")
    assert (refused.status_code, refused.json["code"]) == (409, "digest_mismatch")


def test_what_is_not_there_is_404_and_a_viewer_may_download(caller, trained: Adapter) -> None:
    viewer = caller(Role.VIEWER)
    assert viewer.get("/adapters/nothing/download").status_code == 404
    assert viewer.get("/adapters/training_real/download").status_code == 200
    assert viewer.get("/adapters/training_real/download?base=").status_code == 422


def test_the_command_makes_a_folder_that_peft_loads_by_its_path(
    run: Run, here: None, trained: Adapter, lora: Path, settings: Settings, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = settings.models.folders[0] / "tiny"
    out = tmp_path / "mine"
    said = run("adapters", "download", trained.id, "-o", str(out))
    assert said.splitlines()[1] == f"Base model: {base}"
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".mine")] == []
    verify_manifest(out)
    import torch

    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), lora)
    with torch.no_grad():
        expected = plain(torch.arange(1, 9)[None]).logits[0, -1].tolist()
    assert answer_of(out) == expected


def test_over_http_the_base_is_named_as_one_asks(
    served, trained: Adapter, settings: Settings, tmp_path: Path
) -> None:
    base = str(settings.models.folders[0] / "tiny")
    url = served.url("/adapters/training_real/download")
    answer = httpx.get(url, params={"base": base}, headers=served.headers, timeout=60)
    (tmp_path / "a.tar.gz").write_bytes(answer.content)
    with tarfile.open(tmp_path / "a.tar.gz") as members:
        members.extractall(tmp_path, filter="data")
    folder = tmp_path / "training_real"
    assert verify_manifest(folder) == answer.headers["X-Academy-Digest"] != trained.digest
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base
    assert len(answer_of(folder)) > 1


def test_as_stored_every_byte_is_the_same(
    run: Run, here: None, trained: Adapter, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    said = run("adapters", "download", trained.id, "-o", str(out), "--as-stored")
    assert verify_manifest(out) == trained.digest
    assert "Base model: tiny, which has to resolve" in said


def test_another_base_than_its_own_is_refused_and_nothing_is_left(
    run: Run, trained: Adapter, tiny_model: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"rope_theta": 1.0}))
    out = tmp_path / "mine"
    with pytest.raises(OtherBase, match=str(other)):
        run("adapters", "download", trained.id, "-o", str(out), "--base", str(other))
    assert sorted(tmp_path.glob("*mine*")) == []


def test_nothing_is_overwritten_and_no_folder_is_guessed(
    run: Run, here: None, trained: Adapter, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("there", "dangling", "missing/mine"):
        with pytest.raises(BadTarget, match=str(tmp_path / name)):
            run("adapters", "download", trained.id, "-o", str(tmp_path / name))
    with pytest.raises(ApiError, match="nothing"):
        run("adapters", "download", "nothing", "-o", str(tmp_path / "mine"))
    assert not (tmp_path / "mine").exists()


def test_an_archive_that_was_cut_off_or_leads_elsewhere_is_refused(
    admin, trained: Adapter, tmp_path: Path
) -> None:
    whole = admin.get("/adapters/training_real/download").data
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadArchive):
        unpack(tmp_path / "cut", "training_real", tmp_path / "folder")
    for number, name in enumerate(("../out", "training_real/../../out", "other/file")):
        evil = tmp_path / f"evil{number}"
        with tarfile.open(evil, "w:gz") as members:
            members.addfile(tarfile.TarInfo(name))
        with pytest.raises(BadArchive):
            unpack(evil, "training_real", tmp_path / f"folder{number}")
        assert not (tmp_path / "out").exists()


def test_an_archive_that_unpacks_to_far_more_than_it_could_hold_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bomb", "w:gz", compresslevel=1) as members:
        for name in ("small", "large"):
            member = tarfile.TarInfo(f"training_real/{name}")
            member.size = 1000 if name == "small" else 200 << 20
            with open("/dev/zero", "rb") as zeros:
                members.addfile(member, zeros)
    with pytest.raises(BadArchive, match="with 'large' it unpacks to more"):
        unpack(tmp_path / "bomb", "training_real", tmp_path / "folder")
    assert not (tmp_path / "folder" / "large").exists()
