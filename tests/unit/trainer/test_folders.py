import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from academy.artifacts.manifest import verify_manifest
from academy.trainer.__main__ import is_out_of_memory
from academy.trainer.folders import StorageFailed, make_folder, publish, write_json


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing more than so many bytes fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)


def test_a_published_folder_is_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "step-00000001"
    first = publish(target, lambda folder: _write(folder / "a", "one"))
    second = publish(target, lambda folder: _write(folder / "b", "two"))
    assert first != second == verify_manifest(target)
    assert sorted(path.name for path in target.iterdir()) == ["b", "manifest.json"]
    assert list(tmp_path.iterdir()) == [target], "nothing is left beside it"


@pytest.mark.parametrize("kind", ["text", "tensors"])
def test_a_full_disk_leaves_the_old_folder_as_it_was(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "adapter"
    digest = publish(target, lambda folder: _write(folder / "a", "one"))

    def fill(folder: Path) -> None:
        if kind == "text":
            _write(folder / "a", "x" * 100_000)
        else:
            save_file({"x": torch.zeros(100_000)}, folder / "a")

    with files_of_at_most(10_000), pytest.raises(StorageFailed, match="adapter"):
        publish(target, fill)
    assert verify_manifest(target) == digest
    assert list(tmp_path.iterdir()) == [target]


def test_a_json_file_is_whole_or_absent(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", {"a": 1})
    with files_of_at_most(1000), pytest.raises(StorageFailed):
        write_json(tmp_path / "result.json", {"a": "x" * 100_000})
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert (tmp_path / "result.json").read_text() == '{\n "a": 1\n}'


def test_a_folder_that_cannot_be_made_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed):
        make_folder(tmp_path / "file" / "out")


def test_running_out_of_memory_is_told_from_other_failures() -> None:
    with pytest.raises(RuntimeError) as torch_error:
        torch.empty(1 << 60)
    with pytest.raises(MemoryError) as python_error:
        bytearray(1 << 62)
    assert is_out_of_memory(torch_error.value)
    assert is_out_of_memory(python_error.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def _write(path: Path, text: str) -> None:
    path.write_text(text)
