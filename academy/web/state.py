"""What one API process holds for as long as it lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis
from flask import current_app

from academy.events.hub import Hub
from academy.events.replay import Connections
from academy.jobs.hints import HintPublisher
from academy.registry.gateway import Gateway
from academy.serving.servers import ModelServers
from academy.settings import Settings
from academy.store.engine import Session, Sessions, autocommit, close_sessions
from academy.web.body_room import BodyRoom
from academy.web.key_cache import KeyCache
from academy.web.live.switchboard import Switchboard
from academy.web.lookout import Lookout
from academy.web.metrics import Figures


@dataclass(frozen=True)
class State:
    """The settings and the connections that all requests of this process share."""

    settings: Settings
    sessions: Sessions
    redis: redis.Redis
    #: What reading the events of jobs takes.
    events: Connections
    hub: Hub
    hints: HintPublisher
    key_cache: KeyCache
    model_servers: ModelServers
    gateway: Gateway
    switchboard: Switchboard
    figures: Figures
    #: Of `academy.api.ops.surroundings.Surroundings`.
    lookout: Lookout[Any]
    #: Of `academy.api.ops.surroundings.Crew`.
    crew: Lookout[Any]
    body_room: BodyRoom

    def reading(self) -> Session:
        """A session for reading, as a context manager; nothing that it reads stays locked."""
        return autocommit(self.sessions)

    def close(self) -> None:
        """Give back every connection."""
        self.lookout.close()
        self.crew.close()
        self.hub.close()
        self.hints.close()
        self.model_servers.close()
        self.redis.close()
        close_sessions(self.sessions)


def state() -> State:
    """The state of the application that answers the current request."""
    found: State = current_app.extensions["academy"]
    return found
