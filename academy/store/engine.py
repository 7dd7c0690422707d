"""Connecting to PostgreSQL, with a time-out on everything that waits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.pq import Conninfo
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import DataError, IntegrityError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from academy.errors import AcademyError, BadSetting
from academy.settings import Settings
from academy.settings.forms import database, shown_address

__all__ = [
    "Session",
    "Sessions",
    "StoreError",
    "StoreRefusal",
    "StoreUnavailable",
    "autocommit",
    "close_sessions",
    "connect_ahead",
    "make_engine",
    "make_sessions",
    "needing_the_store",
    "open_sessions",
    "servers",
    "sqlalchemy_url",
]

Sessions = sessionmaker[Session]
#: What every failure of the database is: away, too slow, or refusing.
StoreError = SQLAlchemyError
#: What the database will refuse however often it is asked: a broken constraint, a bad value.
StoreRefusal = (IntegrityError, DataError)

#: A pooled connection that was idle for longer is tested before it is trusted again. A server does
#: not restart within less, so the test would find nothing, and it costs as much as a statement.
_TRUSTED_SECONDS = 0.5
#: Where a session factory keeps its engine for `autocommit`.
_COMMITTING = "committing"


class StoreUnavailable(AcademyError):
    """PostgreSQL cannot be used: {reason}."""

    code = "store_unavailable"
    status = 503
    next_step = "See that it runs and that ACADEMY_DATABASE_URL is right, and start again."


@contextlib.contextmanager
def needing_the_store() -> Iterator[None]:
    """`StoreUnavailable`, in one line and with what to do, for a `StoreError`."""
    try:
        yield
    except StoreError as error:
        said = str(getattr(error, "orig", None) or error).splitlines()
        # libpq's questions ("Is the server running …?") are indented.
        reason = " ".join(line for line in said if not line.startswith("\t"))
        raise StoreUnavailable(reason=reason.rstrip(".")) from error


def make_sessions(settings: Settings, *, pool_size: int = 10) -> Sessions:
    """A session factory for one process; rows stay readable after the commit."""
    engine = make_engine(settings, pool_size=pool_size)
    # Connections of their own, as changing one to commit by itself and back takes a while.
    committing = make_engine(settings, pool_size=pool_size, commits=True)
    event.listen(engine, "engine_disposed", lambda _: committing.dispose())
    return sessionmaker(engine, expire_on_commit=False, info={_COMMITTING: committing})


def close_sessions(sessions: Sessions) -> None:
    """Give back every connection of the factory; a session that is open ends with its work.

    Used again, the factory connects anew, so a process may close early and as often as it likes.
    """
    sessions.kw["bind"].dispose()


def connect_ahead(sessions: Sessions, count: int) -> None:
    """Open connections for `autocommit`, which are kept for who needs one next.

    One takes as long as several statements, most of it for proving that the password is known
    (SCRAM, RFC 5802). Raises `StoreError`.
    """
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            opened.enter_context(autocommit(sessions)).connection()


@contextlib.contextmanager
def open_sessions(settings: Settings, *, pool_size: int = 10) -> Iterator[Sessions]:
    """A session factory as `make_sessions` makes it, closed at the end however that comes."""
    sessions = make_sessions(settings, pool_size=pool_size)
    try:
        yield sessions
    finally:
        close_sessions(sessions)


def autocommit(sessions: Sessions) -> Session:
    """A session whose every statement is a transaction of its own. Use as a context manager.

    It saves the two round trips that open and end a transaction. For work that has one statement,
    and for reading: each statement of a transaction sees what is committed by then anyway.
    """
    return sessions(bind=sessions.kw["info"][_COMMITTING])


def make_engine(
    settings: Settings,
    *,
    pool_size: int = 10,
    statement_seconds: int = 30,
    commits: bool = False,
) -> Engine:
    """An engine whose connects, statements and lock waits all end.

    With `commits` each statement is a transaction of its own.

    Raises `BadSetting` if the URL is not one of PostgreSQL.
    """
    timeout = settings.postgres.timeout_seconds
    engine = create_engine(
        sqlalchemy_url(settings.postgres.url),
        pool_size=pool_size,
        max_overflow=max(1, pool_size // 2),
        pool_timeout=timeout,
        pool_recycle=1800,
        **({"isolation_level": "AUTOCOMMIT"} if commits else {}),
        connect_args={
            "connect_timeout": max(2, int(timeout)),
            # A host that vanishes without a word is noticed by the kernel, not after hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": int(timeout * 1000),
            "options": f"-c statement_timeout={statement_seconds}s -c lock_timeout=10s"
            f" -c idle_in_transaction_session_timeout={_idle_seconds(settings):.0f}s"
            " -c timezone=UTC",
            "application_name": "academy",
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> _Bounded:
        made = _Bounded.connect(*arguments, **options)
        made.longest_wait = statement_seconds + timeout
        return made

    @event.listens_for(engine, "checkin")
    def note_the_time(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def test_if_idle(connection: Any, record: Any, _proxy: Any) -> None:
        idle_since = record.info.get("idle_since")
        if idle_since is None or time.monotonic() - idle_since < _TRUSTED_SECONDS:
            return
        try:
            with connection.waiting(timeout):
                engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            # The server is another one by now, so the pool drops all that it has and connects anew.
            raise InvalidatePoolError from error

    return engine


def _idle_seconds(settings: Settings) -> float:
    """How long a transaction may do nothing before the server ends it.

    A worker that stands still in the middle of one keeps its job's row locked, and the keeper
    cannot give the job to another before that lock is gone; so it goes when the lease does.
    """
    return min(60.0, max(5.0, settings.jobs.lease_seconds))


class _Bounded(psycopg.Connection[Any]):
    """A connection on which no answer is waited for longer than a statement may take.

    The time-outs of the server and of the kernel do not help when something in between, such as a
    balancer, keeps the connection open and forwards nothing: a worker's lease thread would wait for
    ever, and hear of no cancel and of no new owner.
    """

    #: Seconds; the server's own limit for a statement comes first.
    longest_wait: float = 60.0

    @contextlib.contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Wait for no answer longer than this for a while."""
        usual, self.longest_wait = self.longest_wait, seconds
        try:
            yield
        finally:
            self.longest_wait = usual

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's, with an end; the connection is closed then, for its state is unknown."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        began = time.monotonic()
        try:
            return super().wait(gen, interval, self.longest_wait)
        except psycopg.Error:
            if time.monotonic() - began >= self.longest_wait:
                self.pgconn.finish()
            raise


def sqlalchemy_url(url: str) -> str:
    """The URL in SQLAlchemy's spelling, which names the psycopg driver."""
    if allowed := database(url):
        name = "ACADEMY_DATABASE_URL"
        raise BadSetting(name=name, value=shown_address(url), allowed=allowed)
    return f"postgresql+psycopg://{url.partition('://')[2]}"


def servers(url: str) -> list[tuple[str, int]]:
    """Host and port of every server that the URL names, as libpq finds them.

    ``?host=``, several hosts and the variables of libpq (``PGHOST``) count; a socket in a folder
    does not. Raises `BadSetting` as `make_engine`.
    """
    parsed = make_url(sqlalchemy_url(url))
    _, given = parsed.get_dialect()().create_connect_args(parsed)
    defaults = {
        each.keyword.decode(): each.val.decode() for each in Conninfo.get_defaults() if each.val
    }
    known = {**defaults, **given}
    hosts = str(known.get("hostaddr") or known.get("host") or "").split(",")
    ports = [int(each or 5432) for each in str(known.get("port") or "").split(",")]
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    return [
        (host, port)
        for host, port in zip(hosts, ports, strict=True)
        if host and not host.startswith(("/", "@"))
    ]
