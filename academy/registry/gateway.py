"""Passing chats to the model servers: resolve the name once, answer wholly from that version."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from academy.errors import Unavailable
from academy.registry import aliases
from academy.registry.aliases import Resolved
from academy.runtime.errors import AdapterNotLoaded
from academy.serving.drivers.interface import ChatAnswer, ChatStream, RuntimeDriver
from academy.serving.servers import ModelServers
from academy.settings import Settings
from academy.store.engine import Sessions

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer", ChatAnswer, ChatStream)


class Gateway:
    """The model servers of the settings, taken in turn; one that is away is passed over."""

    def __init__(self, settings: Settings, sessions: Sessions, servers: ModelServers) -> None:
        self._settings = settings
        self._sessions = sessions
        self._servers = servers
        self._turn = itertools.count()

    def resolve(self, model: str) -> Resolved:
        """What a client's model name means now. Raises `NotFound`."""
        with self._sessions() as session:
            return aliases.resolve(session, self._settings, model)

    def chat(self, payload: dict[str, Any], resolved: Resolved) -> ChatAnswer:
        """A whole answer. Raises `Unavailable` and the model server's own errors."""
        return self._ask(resolved, lambda driver: driver.chat(payload, resolved.runtime_model))

    def chat_stream(self, payload: dict[str, Any], resolved: Resolved) -> ChatStream:
        """An answer in chunks; what goes wrong before the first chunk is raised here."""
        return self._ask(
            resolved, lambda driver: driver.chat_stream(payload, resolved.runtime_model)
        )

    def _ask(self, resolved: Resolved, ask: Callable[[RuntimeDriver], Answer]) -> Answer:
        away: Unavailable | None = None
        first = next(self._turn)
        for offset in range(len(self._servers)):
            server = self._servers[(first + offset) % len(self._servers)]
            try:
                return self._ask_one(server.driver, resolved, ask)
            except Unavailable as error:
                logger.warning("A model server is away: %s", error, extra={"url": server.url})
                away = error
        raise away or Unavailable(what="The model server", why="ACADEMY_RUNTIME_URL names none")

    def _ask_one(
        self, driver: RuntimeDriver, resolved: Resolved, ask: Callable[[RuntimeDriver], Answer]
    ) -> Answer:
        try:
            return ask(driver)
        except AdapterNotLoaded:
            if resolved.adapter_id is None:
                raise
            # The model server was restarted since the swap, or the adapter was never activated.
            logger.info("Loading an adapter for a chat.", extra={"adapter_id": resolved.adapter_id})
            aliases.load(self._sessions, self._settings, self._servers, resolved.adapter_id)
            return ask(driver)
