"""Queue and task names, once. Standard library only."""

from __future__ import annotations

CURATION = "curation"
GPU = "gpu"
QUEUES = (CURATION, GPU)

#: The Celery task that each queue's hints call. It takes no argument: a hint names no job.
TASKS = {CURATION: "academy.curate", GPU: "academy.train"}
