"""What `academy doctor` looks at; each check is one function that answers within seconds."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from academy.cli.doctor import docker, machine, servers
from academy.cli.doctor.findings import Check, Finding, State
from academy.cli.doctor.variables import check_settings
from academy.errors import AcademyError, BadSetting, BaseModelUnavailable
from academy.host.disks import nearest_folder
from academy.logs import cause_chain
from academy.serving.drivers.interface import RuntimeHealth
from academy.serving.servers import ModelServer
from academy.settings import Settings

_SERVERS = "model servers"


def check_models(settings: Settings) -> Finding:
    from academy.basemodels import folders

    names = [each.name for each in folders.available(settings.model_folders)]
    try:
        found = folders.find(settings.models.base, settings.model_folders)
    except BaseModelUnavailable as error:
        others = f" There are: {', '.join(names)}." if names else ""
        return Finding("model cache", State.MISSING, f"{error}{others}", "Run `make setup`.")
    return Finding("model cache", State.OK, f"{found.path} ({len(names)} base models)")


def check_artifacts(settings: Settings) -> Finding:
    import fsspec

    url = settings.artifacts_url
    if "://" not in url:  # the folder itself is made by the first job
        url = str(nearest_folder(Path(url)))
    name, words = f"{url.rstrip('/')}/.academy-probe-{uuid.uuid4().hex}", b"academy"
    try:
        store, path = fsspec.core.url_to_fs(name)
        store.pipe_file(path, words)
        read = store.cat_file(path)
        store.rm_file(path)
    except Exception as error:  # whatever the store says is the finding
        todo = "Make it writable for this user, or set ACADEMY_ARTIFACTS to a place that is."
        return Finding("artifact store", State.BROKEN, cause_chain(error), todo, necessary=True)
    if read != words:
        todo = "Do not use this store: it gives back other bytes than were written."
        return Finding("artifact store", State.BROKEN, "read other bytes", todo, necessary=True)
    return Finding("artifact store", State.OK, f"write, read, delete in {url}", necessary=True)


def check_model_servers(settings: Settings) -> tuple[Finding, ...]:
    """A finding for each server that is configured, in their order."""
    from academy.embedded.runfile import running
    from academy.serving.servers import ModelServers

    run = running(settings.home)
    # What `academy up` told its processes.
    if settings.serving.is_auto and run is not None and "runtime" in run.ports:
        url = f"http://127.0.0.1:{run.ports['runtime']}"
        settings = settings.changed(runtime_url=(url,))
    try:
        servers = ModelServers(settings)
    except BadSetting as error:  # no process starts with it
        return (Finding(_SERVERS, State.BROKEN, str(error), error.next_step, necessary=True),)
    try:
        found = tuple(
            _model_server(settings, server, health) for server, health in servers.health()
        )
    finally:
        servers.close()
    if not found:
        todo = "Name one in ACADEMY_RUNTIME_URL, or start `academy up`, which brings one along."
        return (Finding(_SERVERS, State.MISSING, "none", todo),)
    return found


def _model_server(settings: Settings, server: ModelServer, health: RuntimeHealth) -> Finding:
    name, base = f"model server {server.url}", settings.models.base
    said = f"{server.kind}, {health.state}"
    if not health.ready:
        todo = "Start it (`academy up` brings one along), or correct ACADEMY_RUNTIME_URL."
        return Finding(name, State.MISSING, f"{said}: {health.detail}", todo)
    try:
        names = [each.name for each in server.driver.models()]
    except AcademyError as error:
        return Finding(name, State.BROKEN, f"{said}: {error}", error.next_step)
    if base not in names:
        todo = f"Let it serve {base!r} by this name; see docs/runtime.md."
        return Finding(
            name, State.MISSING, f"{said}: it serves {', '.join(names)}, not {base}", todo
        )
    return Finding(name, State.OK, said)


def _one(name: str, check: Callable[[Settings], Finding], *, necessary: bool = False) -> Check:
    return Check(name, lambda settings: (check(settings),), lambda settings: necessary)


CHECKS: tuple[Check, ...] = (
    _one("Python", machine.check_python, necessary=True),
    _one("settings", check_settings, necessary=True),
    _one("disk", machine.check_disk, necessary=True),
    _one("memory", machine.check_memory, necessary=True),
    _one("GPU and driver", machine.check_gpu),
    _one("bitsandbytes", machine.check_bitsandbytes),
    _one("Unsloth", machine.check_unsloth),
    *docker.CHECKS,
    _one("PostgreSQL", servers.check_postgres, necessary=True),
    _one("Redis", servers.check_redis, necessary=True),
    _one("migrations", servers.check_migrations, necessary=True),
    _one("model cache", check_models),
    _one("artifact store", check_artifacts, necessary=True),
    Check(_SERVERS, check_model_servers, lambda settings: False),
)
