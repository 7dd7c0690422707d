"""Drivers: one interface to every model server that Academy can work with.

Nothing here imports torch, transformers or Flask, so the API may import it. The drivers are
synchronous and work under gevent's monkey patching.
"""

from academy.serving.drivers.embedded import EmbeddedDriver
from academy.serving.drivers.interface import (
    AdapterRef,
    ChatAnswer,
    ChatStream,
    RuntimeDriver,
    RuntimeHealth,
    ServedModel,
)
from academy.serving.drivers.vllm import VllmDriver

__all__ = [
    "AdapterRef",
    "ChatAnswer",
    "ChatStream",
    "EmbeddedDriver",
    "RuntimeDriver",
    "RuntimeHealth",
    "ServedModel",
    "VllmDriver",
]
