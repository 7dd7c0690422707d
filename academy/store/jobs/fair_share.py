"""Which job a claim takes: the highest priority, then the share that got least, then age.

A share is a role, or for jobs without one the key that submitted them (`Job.share`). Shares are
compared by

1. the jobs that they run just now, divided by their weight, fewest first; then
2. the time since they last started a job, multiplied by their weight, longest first, so that one
   single worker, which never runs anything when it claims, goes round by weight as well; then
3. the age of their oldest job.

A share that waits is overtaken only by starts of others, each of which puts the other one behind
it, so none starves. Passed over are jobs of a kind that the worker's version does not know, jobs
that ask for more GPUs than the worker has free, and jobs of several hosts; how the latter two get
their turn is in `academy.store.jobs.slots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from academy.lifecycle import JobKind

#: No recipe asks for more (academy/recipes/recipe.py).
MOST_GPUS = 64

# The steps of this statement are index probes, whose number grows with the shares and not with the
# jobs: `listed` is a loose index scan (wiki.postgresql.org/wiki/Loose_indexscan) over
# jobs_claim_idx. A share whose jobs other workers are claiming this moment is passed over for the
# next one; the last branch is reached only where that is so for every share of that priority.
SQL = """
WITH RECURSIVE best AS (
    SELECT priority FROM jobs
    WHERE queue = :on_queue AND status = 'queued' AND hosts = 1
      AND not_before <= clock_timestamp() AND kind = ANY(:kinds)
      AND priority > :above AND gpus <= :free_gpus AND needs_gpu <= :on_gpu
    ORDER BY priority DESC LIMIT 1
), listed(share) AS (
    (SELECT share FROM jobs
     WHERE queue = :on_queue AND status = 'queued' AND hosts = 1
       AND priority = (SELECT priority FROM best)
     ORDER BY share LIMIT 1)
    UNION ALL
    SELECT (SELECT jobs.share FROM jobs
            WHERE queue = :on_queue AND status = 'queued' AND hosts = 1
              AND priority = (SELECT priority FROM best)
              AND jobs.share > listed.share
            ORDER BY jobs.share LIMIT 1)
    FROM listed WHERE listed.share IS NOT NULL
), running AS (
    SELECT share, count(*) AS jobs FROM jobs
    WHERE queue = :on_queue AND lease_expires_at IS NOT NULL
    GROUP BY share
), ranked AS MATERIALIZED (
    SELECT listed.share
    FROM listed
    LEFT JOIN running USING (share)
    LEFT JOIN shares ON shares.name = listed.share
    CROSS JOIN LATERAL (SELECT coalesce(shares.weight, 1) AS weight) AS given
    CROSS JOIN LATERAL (
        SELECT (SELECT started_at FROM jobs
                WHERE queue = :on_queue AND jobs.share = listed.share AND started_at IS NOT NULL
                ORDER BY started_at DESC LIMIT 1) AS started_at,
               (SELECT created_at FROM jobs
                WHERE queue = :on_queue AND status = 'queued' AND hosts = 1
                  AND jobs.share = listed.share
                  AND priority = (SELECT priority FROM best)
                ORDER BY created_at LIMIT 1) AS created_at
    ) AS times
    WHERE listed.share IS NOT NULL
    ORDER BY coalesce(running.jobs, 0) / given.weight,
             extract(epoch FROM clock_timestamp() - times.started_at) * given.weight
                 DESC NULLS FIRST,
             times.created_at
)
SELECT id FROM (
    SELECT fair.id FROM ranked CROSS JOIN LATERAL (
        SELECT id FROM jobs
        WHERE queue = :on_queue AND status = 'queued' AND hosts = 1
          AND jobs.share = ranked.share
          AND priority = (SELECT priority FROM best) AND not_before <= clock_timestamp()
          AND kind = ANY(:kinds) AND gpus <= :free_gpus AND needs_gpu <= :on_gpu
        ORDER BY created_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
    ) AS fair
    UNION ALL
    SELECT free.id FROM (
        SELECT id FROM jobs
        WHERE queue = :on_queue AND status = 'queued' AND hosts = 1
          AND not_before <= clock_timestamp() AND kind = ANY(:kinds)
          AND priority > :above AND gpus <= :free_gpus AND needs_gpu <= :on_gpu
        ORDER BY priority DESC, share, created_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
    ) AS free
) AS either LIMIT 1
"""


@dataclass(frozen=True)
class Eligibility:
    """Which jobs a claim may take: what its worker has, and above which priority."""

    gpus: int = MOST_GPUS  # a job may ask for so many; processes on one CPU need no slots
    on_gpu: bool = False  # False: a job that insists on a GPU is passed over
    above: int = -(2**31)  # only jobs with a higher priority


def parameters(queue: str, kinds: Sequence[str], eligibility: Eligibility) -> dict[str, Any]:
    """The parameters of `SQL`; none is named like a column, which SQLAlchemy would then set.

    Jobs of other kinds than `kinds` are passed over: their workers are of a newer version.
    """
    return {
        "on_queue": queue,
        "kinds": list(kinds),
        "free_gpus": eligibility.gpus,
        "on_gpu": eligibility.on_gpu,
        "above": eligibility.above,
    }


def explain(queue: str) -> str:
    """`SQL` of a worker without GPUs, with its parameters spelled out, for an EXPLAIN."""
    statement = SQL
    given = parameters(queue, (), Eligibility()) | {"kinds": "{" + ",".join(JobKind) + "}"}
    for name, value in given.items():
        statement = statement.replace(f":{name}", f"'{value}'")
    return statement
