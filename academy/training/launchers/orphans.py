"""Containers whose worker is gone: found by their labels, removed when nobody holds their job."""

from __future__ import annotations

import logging
import threading

from academy.settings import Settings
from academy.store.engine import Sessions, StoreError
from academy.store.jobs import leases
from academy.training.launchers.errors import DockerForbidden, DockerUnavailable

log = logging.getLogger(__name__)


def remove_orphans(sessions: Sessions, settings: Settings) -> int:
    """Remove this host's containers whose job is over or held under another fence; how many.

    The engine is asked before Postgres, so a job can only have moved on in between, never back. A
    container of a job that the database does not know belongs to another installation and stays.
    Where there is no engine for us there are no containers of ours, and nothing is done.
    """
    from academy.training.launchers import docker_engine

    if not docker_engine.has_socket():
        return 0
    try:
        with docker_engine.connected(settings) as client:
            return _remove(client, sessions)
    except (DockerUnavailable, DockerForbidden) as error:
        log.debug("containers were not swept: %s", error)
        return 0
    except docker_engine.ENGINE_ERRORS as error:
        if isinstance(error, StoreError):
            raise
        log.warning("containers were not swept: %s", error)
        return 0


class OrphanSweep:
    """Sweeps from a thread for as long as a worker runs: at its start, then once a lease time.

    A host with GPUs has a worker and no keeper, and its containers can be reached from there only.
    """

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        self._sessions = sessions
        self._settings = settings
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orphans", daemon=True)

    def __enter__(self) -> OrphanSweep:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)  # a daemon: an engine that hangs does not hold the worker up

    def _run(self) -> None:
        while True:
            try:
                remove_orphans(self._sessions, self._settings)
            except StoreError as error:
                log.warning("containers were not swept: %s", type(error).__name__)
            if self._stopped.wait(self._settings.jobs.lease_seconds):
                return


def _remove(client: object, sessions: Sessions) -> int:
    import docker
    from academy.training.launchers.container import remove
    from academy.training.launchers.habitat import FENCE, JOB

    assert isinstance(client, docker.APIClient)
    found = client.containers(all=True, filters={"label": [JOB, FENCE]})
    if not found:
        return 0
    with sessions() as session:
        fences = leases.fences(session, [each["Labels"][JOB] for each in found])
    removed = 0
    for each in found:
        job_id, fence = each["Labels"][JOB], each["Labels"][FENCE]
        if job_id not in fences or str(fences[job_id]) == fence:
            continue
        if remove(client, each["Id"]):
            removed += 1
            log.warning("an orphaned container was removed", extra={"job_id": job_id})
    return removed
