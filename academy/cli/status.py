"""`academy status`: the whole installation at a glance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from academy.cli.arguments import AsJson


def status(as_json: AsJson = False) -> None:
    """Show components, devices, lessons, jobs, workers, model servers and configuration."""
    from academy.cli.output import connect, print_json, print_table

    with connect() as client:
        answer = client.get("/status")
    if as_json:
        print_json(answer)
        return
    rows: list[tuple[str, Any]] = [("address", client.url)]
    for name, value in answer.items():
        rows += _OF.get(name, _rows)(name, value)
    print_table(("what", "value"), rows, "The server said nothing.", prose={"value"})


def _rows(name: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(name, value)]
    return [(f"{name}.{inner}", each) for inner, each in value.items()]


def _jobs(name: str, jobs: dict[str, int]) -> list[tuple[str, Any]]:
    return [(name, _counts(jobs))]


def _gpu(name: str, gpu: dict[str, Any]) -> list[tuple[str, Any]]:
    devices = gpu.get("devices", [])
    rows = _rows(name, {field: each for field, each in gpu.items() if field != "devices"})
    return rows + [(f"{name} {each.get('name')}", _device(each)) for each in devices]


def _workers(name: str, workers: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    from academy.cli.times import local_time

    rows = []
    for each in workers:
        doing = each["obstacle"] or each["job_id"] or ""
        seen = local_time(each["last_seen_at"], seconds=True)
        said = f"{each['state']} {doing}".strip()
        rows.append((f"worker {each['queue']}", f"{each['id']} {said}, last seen {seen}"))
    return rows


def _kinds(name: str, kinds: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (f"kind {each['kind']}", f"workers: {each['workers']}; jobs: {_counts(each['jobs'])}")
        for each in kinds
    ]


def _runtimes(name: str, runtimes: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (f"runtime {each['url']}", f"{each['state']} ({each['kind']}) {each['detail']}".rstrip())
        for each in runtimes
    ]


def _counts(jobs: dict[str, int]) -> str:
    """The jobs in each status that has some."""
    found = [f"{count} {status}" for status, count in jobs.items() if count and status != "total"]
    return ", ".join(found) or "none"


def _device(gpu: dict[str, Any]) -> str:
    """What is known of a device; programs read the rest with ``--json``."""
    parts = [str(gpu.get("uuid") or "")]
    if gpu.get("utilization") is not None:
        parts.append(f"{gpu['utilization']:.0%} busy")
    if gpu.get("obstacle"):
        parts.append(str(gpu["obstacle"]))
    return ", ".join(each for each in parts if each)


#: The parts of the answer that are no plain figures.
_OF: dict[str, Callable[[str, Any], list[tuple[str, Any]]]] = {
    "jobs": _jobs,
    "gpu": _gpu,
    "workers": _workers,
    "kinds": _kinds,
    "runtimes": _runtimes,
}
