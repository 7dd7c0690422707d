"""A database that an earlier release filled is brought up to date with everything in it."""

from __future__ import annotations

import psycopg
from alembic import command

from academy.settings import Settings
from academy.store import migrate
from academy.store.engine import close_sessions, make_sessions
from academy.store.jobs import jobs, transitions
from academy.store.models import adapters

#: What a release at revision 0009 had: a finished training whose adapter serves, a waiting
#: curation, a worker.
_FILLED = """
INSERT INTO jobs (id, kind, queue, status, parameters, finished_at, result,
        priority, fence, attempt, crashes)
    VALUES ('training_1', 'training', 'gpu', 'finished', '{"lora_rank": 4}', now(), '{}',
        0, 1, 1, 0);
INSERT INTO jobs (id, kind, queue, status, parameters, priority, fence, attempt, crashes)
    VALUES ('curation_1', 'curation', 'curation', 'queued', '{"lessons_limit": 7}', 0, 0, 0, 0);
INSERT INTO adapters (id, digest, key, job_id, base_model, parameters, metrics, code_version)
    VALUES ('training_1', 'sha256:1', 'adapters/1', 'training_1', 'tiny', '{}', '{}', '0.1.0');
INSERT INTO aliases (name, adapter_id, generation) VALUES ('default', 'training_1', 1);
INSERT INTO workers (id, queue, host, pid, versions, gpus)
    VALUES ('w', 'gpu', 'h', 1, '{"schema": "0009"}', '[]');
"""


def test_what_the_release_before_kept_is_there_after_the_migration(
    empty_database_url: str,
) -> None:
    command.upgrade(migrate.config(empty_database_url), "0009")
    with psycopg.connect(empty_database_url, connect_timeout=10) as database:
        database.execute(_FILLED)
    assert migrate.upgrade(empty_database_url).in_order
    sessions = make_sessions(Settings().changed(database_url=empty_database_url))
    with sessions.begin() as session:
        assert adapters.get(session, "training_1").digest == "sha256:1"
        alias = adapters.alias(session, "default")
        assert alias is not None
        assert (alias.adapter_id, alias.generation) == ("training_1", 1)
        assert jobs.get(session, "training_1").status == "finished"
        taken = transitions.claim(session, "curation", "w-new", 60)
        assert taken is not None
        assert (taken.id, taken.parameters) == ("curation_1", {"lessons_limit": 7})
    close_sessions(sessions)
