"""A worker of Academy whose curations do nothing: ``python academy_worker.py curation``.

Only the work itself is replaced. The hint, the claim, the lease, the events and their archive, the
transitions and the finish are those of every job.
"""

from __future__ import annotations

from collections.abc import Callable

from academy.curation import supervisor
from academy.jobs.attempt import Attempt
from academy.store.engine import Session
from academy.store.jobs import transitions
from workers.__main__ import main


def do_nothing(attempt: Attempt) -> Callable[[Session], None]:
    """Report work, and finish."""
    attempt.start()

    def record(session: Session) -> None:
        result = {"dataset_id": "none", "dataset_path": "none", "statistics": {}}
        transitions.finish(session, attempt.claim, result)

    return record


if __name__ == "__main__":
    supervisor.curate_job = do_nothing  # type: ignore[assignment]
    main()
