"""One frozen `Settings` in groups, read from ``ACADEMY_*`` at entry points only.

Every field of a group is a setting: ``settings.docker.image`` is read from the variable that its
`setting()` names, ``ACADEMY_DOCKER_IMAGE``. The same call carries the sentence that the README's
table shows. Standard library only.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from academy.errors import SwitchedOff
from academy.settings.outside import Webhooks
from academy.settings.rules import Rule, group, setting
from academy.settings.running import Gang, Host, Jobs
from academy.settings.servers import Api, Artifacts, Events, Postgres, Redis, Serving
from academy.settings.trainings import Curation, Docker, Git, Models, Professor, Training

__all__ = ["Place", "Settings", "places"]


class Place(NamedTuple):
    """Where a setting lies: its group ("" for one that stands alone), its field and its rule."""

    group: str
    field: str
    rule: Rule


@dataclass(frozen=True)
class Settings:
    """How this installation of Academy is set up. Paths are absolute once read."""

    enabled: bool = setting(
        "ACADEMY_ENABLED",
        True,
        "false: `academy up`, the API, keepers, workers and model servers refuse to start",
        also=("ENABLE_ACADEMY",),
    )
    home: Path = setting(
        "ACADEMY_HOME",
        Path(".academy"),
        "folder for everything that Academy writes",
    )
    log_level: str = setting(
        "ACADEMY_LOG_LEVEL",
        "INFO",
        "DEBUG, INFO, WARNING or ERROR",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        any_case=True,
    )
    api: Api = group(Api)
    postgres: Postgres = group(Postgres)
    redis: Redis = group(Redis)
    artifacts: Artifacts = group(Artifacts)
    models: Models = group(Models)
    git: Git = group(Git)
    professor: Professor = group(Professor)
    curation: Curation = group(Curation)
    training: Training = group(Training)
    docker: Docker = group(Docker)
    jobs: Jobs = group(Jobs)
    host: Host = group(Host)
    gang: Gang = group(Gang)
    serving: Serving = group(Serving)
    events: Events = group(Events)
    webhooks: Webhooks = group(Webhooks)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Read the settings from the environment; `overrides` win, named as in `changed`.

        Raises `BadSetting`, which names the variable, its value and what is allowed, also where two
        names of one setting contradict each other, and where two settings do.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for place in places():
            rule = place.rule
            if rule.key not in overrides and (value := rule.read_from(environ)) is not None:
                values[rule.key] = value
        found = cls().changed(**values, **overrides)
        found.jobs.require_sense()
        return dataclasses.replace(found, home=found.home.expanduser().absolute())

    def changed(self, **values: Any) -> Settings:
        """These settings with some others, each named like its variable.

        ``changed(docker_image="mine")`` changes what ``ACADEMY_DOCKER_IMAGE`` sets. The values are
        as the fields have them, lists as tuples. Raises TypeError for a name that is no setting.
        """
        groups: dict[str, dict[str, Any]] = {}
        for place in places():
            if place.rule.key in values:
                groups.setdefault(place.group, {})[place.field] = values.pop(place.rule.key)
        if values:
            raise TypeError(f"There is no setting {', '.join(sorted(values))}.")
        own = groups.pop("", {})
        for name, fields in groups.items():
            own[name] = dataclasses.replace(getattr(self, name), **fields)
        return dataclasses.replace(self, **own)

    @property
    def artifacts_url(self) -> str:
        """Where datasets, checkpoints and adapters go."""
        return self.artifacts.url or str(self.home / "artifacts")

    @property
    def own_folders(self) -> list[Path]:
        """The folders of this machine that we write to: the home, and the artifacts if in one."""
        artifacts = [] if "://" in self.artifacts_url else [Path(self.artifacts_url).absolute()]
        return [self.home, *artifacts]

    @property
    def host_name(self) -> str:
        """What this machine is called among the others."""
        return self.host.name or os.uname().nodename

    @property
    def model_folders(self) -> list[Path]:
        """The folders in which a base model is looked for, in order."""
        if self.models.folders:
            return list(self.models.folders)
        try:
            return [self.home / "models", Path("~/.cache/academy/models").expanduser()]
        except RuntimeError:  # a user without a home, as in a container under any number
            return [self.home / "models"]

    @property
    def allowed_repo_roots(self) -> list[Path]:
        """The folders that repositories and uploads named by path may lie in."""
        return [each.resolve() for each in self.git.roots or (Path.cwd(),)]

    def require_enabled(self) -> None:
        """Raise `SwitchedOff` where this installation is not to run."""
        if not self.enabled:
            raise SwitchedOff

    def value(self, place: Place) -> Any:
        """What the setting at this place is."""
        return getattr(getattr(self, place.group) if place.group else self, place.field)

    def environ(self) -> dict[str, str]:
        """The ``ACADEMY_*`` variables that give another process these same settings."""
        return {
            place.rule.variable: place.rule.write(self.value(place))
            for place in places()
            if self.value(place) != place.rule.default
        }


@cache
def places() -> tuple[Place, ...]:
    """Every setting, group by group."""
    return tuple(_places())


def _places() -> Iterator[Place]:
    for each in dataclasses.fields(Settings):
        if "rule" in each.metadata:
            yield Place("", each.name, each.metadata["rule"])
        else:
            for member in dataclasses.fields(getattr(Settings, each.name)):
                yield Place(each.name, member.name, member.metadata["rule"])
