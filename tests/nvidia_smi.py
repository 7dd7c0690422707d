"""A GPU driver for hosts without one: a real program named nvidia-smi that answers from files.

It stands in for foreign hardware. Its answers have the shape of the real one's, as its manual page
describes them; a test plugs GPUs in, pulls them out and puts processes on them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_PROGRAM = """#!/bin/sh
case "$1" in
    --query-gpu=uuid,name,driver_version,memory.total,memory.used,utilization.gpu)
        cat "{folder}/gpus" ;;
    --query-compute-apps=gpu_uuid,pid,used_memory,process_name)
        cat "{folder}/processes" ;;
    *) echo "Field is not a valid field to query." >&2; exit 2 ;;
esac
exit $(cat "{folder}/status")
"""


class Driver:
    """The state of the driver; `environment` puts its program on the PATH."""

    def __init__(self, folder: Path, *gpus: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        program = folder / "nvidia-smi"
        program.write_text(_PROGRAM.format(folder=folder))
        program.chmod(0o755)
        self.plug(*gpus)
        self.run()
        self.fail(0)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:{os.environ['PATH']}"}

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this very process see the driver, and all of its GPUs."""
        monkeypatch.setenv("PATH", self.environment["PATH"])
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def plug(self, *gpus: str) -> None:
        """Show these GPUs and no other."""
        self._write("gpus", [f"{uuid}, NVIDIA H200, 570.86.15, 143771, 512, 7" for uuid in gpus])

    def run(self, *processes: tuple[str, int, str]) -> None:
        """Have these processes compute: GPU, process id, memory in MiB or ``[N/A]``."""
        self._write(
            "processes",
            [f"{uuid}, {pid}, {used}, /opt/a, b/python3" for uuid, pid, used in processes],
        )

    def fail(self, status: int) -> None:
        """End with this exit status from now on."""
        self._write("status", [str(status)])

    def _write(self, name: str, lines: list[str]) -> None:
        # Replaced as a whole, since a worker may be reading it this moment.
        fresh = self.folder / f"{name}.new"
        fresh.write_text("".join(f"{line}\n" for line in lines))
        fresh.replace(self.folder / name)
