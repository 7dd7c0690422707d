"""The fixtures that every other test stands on."""

from __future__ import annotations

import psycopg
import redis

from academy.embedded.program import port_is_free


def test_the_test_server_is_a_real_postgresql_that_wants_its_password(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT current_setting('server_version_num')::int").fetchone()
    assert row is not None and row[0] >= 180000
    host = postgres_url.rpartition("@")[2]
    try:
        psycopg.connect(f"postgresql://academy:wrong@{host}", connect_timeout=5)
    except psycopg.OperationalError as error:
        assert "password authentication failed" in str(error)
    else:
        raise AssertionError("PostgreSQL let a wrong password in")


def test_an_empty_database_is_this_tests_own(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname='public'")
        assert row.fetchone() == (0,)
        connection.execute("CREATE TABLE mine (id int)")


def test_valkey_is_empty_at_the_start_of_a_test(valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_valkey_is_empty_at_the_start_of_the_next_test_too(valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        assert client.dbsize() == 0


def test_a_free_port_is_free(free_port: int) -> None:
    assert port_is_free(free_port)


def test_a_database_is_migrated_and_has_no_rows_of_another_test(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert row is not None and row[0]
