"""``/train/preflight``: what a training would take, before it is queued."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from academy.access.keys import Role
from academy.api.training.preflight_shapes import PreflightShown
from academy.artifacts.store import ArtifactStore
from academy.basemodels import folders
from academy.basemodels.shape import read_shape
from academy.queues import GPU
from academy.store.jobs import jobs, slots, workers
from academy.store.jobs.fleet import Demand
from academy.training.forecast import forecast, worker_types
from academy.training.launch import grant
from academy.training.request import TrainingRequest
from academy.training.submission import dataset_of
from academy.training.token_counts import count_tokens
from academy.web.offload import offload
from academy.web.permissions import allows
from academy.web.state import state

blueprint = APIBlueprint("preflight", __name__, tag="Training")


@blueprint.post("/train/preflight")
@allows(Role.OPERATOR)
@blueprint.input(TrainingRequest, arg_name="wanted")
@blueprint.output(PreflightShown)
def preflight(wanted: TrainingRequest) -> dict[str, Any]:
    """Look at a training without queueing it: tokens, memory, time, and who could take it."""
    settings = state().settings
    wanted = wanted.with_defaults(settings)
    limit = grant(wanted.launch(), settings).limits.memory_bytes
    base_model = wanted.base_model or settings.models.base
    model = folders.find(base_model, settings.model_folders)
    with state().reading() as session:
        dataset = dataset_of(session, wanted.dataset_id)
        alive = workers.alive(session, seen_within_seconds=settings.jobs.lease_seconds)
        finished = jobs.finished_trainings(session, base_model, limit=20)
        fleet = slots.live_fleet(session, GPU, settings.jobs.lease_seconds)
    recipe = wanted.recipe()
    # Each worker is looked at for itself below; that there are hosts enough is seen only here.
    demand = Demand(GPU, recipe.gpus, recipe.hosts, recipe.device == "cuda")
    never = slots.why_never(demand, fleet) if recipe.hosts > 1 else None
    shape = read_shape(model.path)
    folder = offload(lambda: ArtifactStore(settings).fetch(dataset.key, dataset.digest))
    counts = count_tokens(settings, folder, dataset.digest, model, recipe)
    types = worker_types(alive) if counts.lengths else []
    shown = [forecast(kind, recipe, shape, counts, finished, limit) for kind in types]
    adapted = shape.adapted(recipe.target_modules)
    return {
        **_verdict(bool(counts.lengths), shown, never),
        "dataset_id": dataset.id,
        "base_model": base_model,
        "parameters": shape.parameters,
        "trainable": sum(recipe.lora_rank * (inputs + outputs) for _, inputs, outputs in adapted),
        "total_steps": recipe.total_steps(len(counts.lengths)) if counts.lengths else 0,
        "tokens": counts.as_shown(),
        "worker_types": shown,
    }


def _verdict(has_rows: bool, shown: list[dict[str, Any]], never: str | None) -> dict[str, str]:
    if not has_rows:
        return {"verdict": "no_rows", "message": "No row is left to learn from; see left_out."}
    if never is not None and shown:
        return {"verdict": "no_worker", "message": never}
    ready = [each for each in shown if each["could_take_it"]]
    if ready:
        names = ", ".join(sorted({each["device"] for each in ready}))
        return {"verdict": "ready", "message": f"It could be trained on {names}."}
    if not shown:
        message = "No GPU worker is alive; it would wait in the queue until one comes."
        return {"verdict": "no_worker", "message": message}
    why = "; ".join(each["why_not"][0] for each in shown)
    return {"verdict": "no_worker", "message": f"No worker that is alive could take it: {why}."}
