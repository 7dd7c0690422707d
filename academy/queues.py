"""Queue and task names, once. Standard library only."""

from __future__ import annotations

from academy.lifecycle import JobKind

CURATION = "curation"
GPU = "gpu"
QUEUES = (CURATION, GPU)

#: The Celery task that each queue's hints call; its one argument is the hinted job's id.
TASKS = {CURATION: "academy.curate", GPU: "academy.train"}

QUEUE_OF_KIND = {JobKind.CURATION: CURATION, JobKind.TRAINING: GPU}
