"""What `academy doctor` finds in the environment: misspelt settings, and names without effect."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping

from academy.cli.doctor.findings import Finding, State
from academy.settings import Settings, places
from academy.settings.rules import PREFIX

#: What docker-compose.yml alone reads, and examples/demo.py.
_OTHERS = frozenset(
    {"ACADEMY_VERSION", "ACADEMY_PUBLISH", "ACADEMY_REPOSITORIES", "ACADEMY_DEMO_REPO"}
)
#: Names of other installations' files that mean nothing here, and why.
_IDLE = {
    "MEMORY_ROOT": "lessons come over HTTP and are kept in PostgreSQL; ACADEMY_HOME is the folder "
    "of an installation",
    "DOCKER_CUDA_IMAGE": "no container is started only to look for GPUs; the image of trainings "
    "is ACADEMY_DOCKER_IMAGE",
}

#: How near a name without our prefix has to be: ENABLE_GPUS is that of ENABLE_GPU, while
#: ENABLE_GUI, DEFAULT_MODEL and WORKSPACE_DIR are names of others.
_NEAR = 0.93


def check_settings(settings: Settings) -> Finding:
    """The variables of this process that no setting reads."""
    doubts = doubts_about(os.environ)
    if not settings.enabled:
        detail = "Academy is switched off"
        todo = "Set ENABLE_ACADEMY to true, or unset it, to let its processes start."
        return Finding("settings", State.MISSING, "; ".join([detail, *doubts]), todo)
    if doubts:
        todo = "Correct the name, or unset the variable: nothing reads it."
        return Finding("settings", State.BROKEN, "; ".join(doubts), todo, necessary=True)
    given = sum(os.environ.get(name, "") != "" for place in places() for name in place.rule.names)
    return Finding("settings", State.OK, f"{given} set, {len(places())} in all")


def doubts_about(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable there that looks like a setting and is none."""
    known = [name for place in places() for name in place.rule.names]
    found = [f"{name} has no effect: {why}" for name, why in _IDLE.items() if environ.get(name)]
    for name in sorted(environ):
        if name in known or name in _OTHERS or name in _IDLE:
            continue
        close = _meant(name, known)
        if close or name.upper().startswith(PREFIX):
            hint = f"; did you mean {close}?" if close else ""
            found.append(f"{name} is no setting{hint}")
    return found


def _meant(name: str, known: list[str]) -> str | None:
    """The setting that the name is nearly that of, in any case of its letters."""
    # Names without our prefix are mostly those of other programs, so they have to be nearer.
    cutoff = 0.6 if name.upper().startswith(PREFIX) else _NEAR
    return next(iter(difflib.get_close_matches(name.upper(), known, n=1, cutoff=cutoff)), None)
