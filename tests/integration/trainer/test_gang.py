"""Trainers of several hosts, here all on the loopback, train one adapter together."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from academy.artifacts.manifest import verify_manifest
from academy.trainer.ranks.local_ranks import train_in_ranks
from academy.trainer.report import Report
from academy.trainer.spec import BadSpec, read_spec
from academy.trainer.stop import StopRequest

pytestmark = pytest.mark.slow  # each of the processes takes seconds to import its libraries

RECIPE = {"num_epochs": 2, "learning_rate": 0.001, "eval_interval_steps": 3}
GANG = RECIPE | {"batch_size": 4, "hosts": 2}
HERE = "127.0.0.1"


def gang(workshop: Any, recipe: dict[str, Any], **parts: Any) -> tuple[Any, Any]:
    """The trainers of two hosts; the second one is told where the first one listens."""
    leader = workshop.start(recipe=recipe, gang={"place": 0, "address": HERE}, **parts)
    told = leader.until(lambda event: event["type"] == "rendezvous")["address"]
    place = {"place": 1, "address": HERE, "rendezvous": told}
    return leader, workshop.start(recipe=recipe, gang=place, **parts)


def test_two_hosts_do_what_one_process_does_with_twice_the_batch(workshop: Any) -> None:
    alone = workshop.start(recipe=RECIPE | {"batch_size": 8})
    leader, member = gang(workshop, GANG)
    one, both, other = alone.finish(), leader.finish(), member.finish()
    for kind, name in (("metrics", "loss"), ("metrics", "grad_norm"), ("evaluation", "loss")):
        ours, theirs = ([event[name] for event in each.of(kind)] for each in (both, one))
        assert ours == pytest.approx(theirs, rel=1e-3), (kind, name)
    ours, theirs = (
        load_file(Path(each.events[-1]["adapter_path"]) / "adapter_model.safetensors")
        for each in (both, one)
    )
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-2, atol=1e-4)
    assert verify_manifest(both.out / "adapter") == both.events[-1]["digest"]
    # The other host speaks and writes for nobody.
    assert {each["type"] for each in other.events} <= {"stage"}
    assert not list(other.out.glob("checkpoints/*")) and not (other.out / "adapter").exists()


def test_a_host_that_goes_away_ends_the_others(workshop: Any) -> None:
    leader, member = gang(workshop, GANG | {"num_epochs": 40})
    leader.until_step(1)
    [rank] = psutil.Process(member.process.pid).children()
    rank.kill()
    here, there = leader.wait(), member.wait()
    assert (here.status, there.status) == (1, 1)
    assert here.of("error")[-1]["code"] == "worker_lost"
    assert "Process 1 of the 2" in there.of("error")[-1]["message"]
    assert "SIGKILL" in there.of("error")[-1]["message"]


def test_hosts_with_other_rows_are_refused(workshop: Any, tmp_path: Path) -> None:
    leader = workshop.start(recipe=GANG, gang={"place": 0, "address": HERE})
    told = leader.until(lambda event: event["type"] == "rendezvous")["address"]
    rows = tmp_path / "rows"
    rows.mkdir()
    for each in ("train", "heldout"):
        lines = (workshop.dataset / f"{each}.jsonl").read_text().splitlines()
        (rows / f"{each}.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    place = {"place": 1, "address": HERE, "rendezvous": told}
    member = workshop.start(recipe=GANG, gang=place, dataset={"path": str(rows), "digest": None})
    for ended in (leader.wait(), member.wait()):
        assert ended.status == 2, ended.stderr
        assert "process 1 has another rows than the first one" in json.dumps(ended.of("error"))


@pytest.mark.parametrize(
    ("recipe", "place", "said"),
    [
        ({"hosts": 2}, None, "recipe.hosts is 2, but the spec's gang is missing"),
        ({}, {"place": 0, "address": HERE}, "recipe.hosts is 1, but the spec's gang is there"),
        ({"hosts": 2}, {"place": 2, "address": HERE}, "gang.place is 2, but recipe.hosts is 2"),
        ({"hosts": 2}, {"place": 1, "address": HERE}, "gang.rendezvous is missing"),
        ({"hosts": 2}, {"place": 0, "address": "host"}, "gang.address"),
        ({"hosts": 2}, {"place": 0, "address": "192.0.2.1"}, "no network interface"),
    ],
)
def test_a_gang_that_cannot_meet_is_refused(
    workshop: Any, tmp_path: Path, recipe: dict[str, Any], place: dict[str, Any] | None, said: str
) -> None:
    body = {
        "schema_version": 1,
        "job_id": "job-1",
        "attempt": 1,
        "base_model": {"name": "tiny", "path": str(workshop.model)},
        "dataset": {"path": str(workshop.dataset)},
        "recipe": recipe,
        "gang": place,
    }
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(body))
    with pytest.raises(BadSpec, match=said):
        train_in_ranks(read_spec(path), path, tmp_path, Report(io.StringIO()), StopRequest())
