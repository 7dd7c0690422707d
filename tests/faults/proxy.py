"""A TCP proxy on loopback that can stop forwarding: the network fault of these tests."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

_CHUNK = 65_536


@dataclass(frozen=True)
class Trap:
    """A moment on the wire: `then` is sent after `first` on one connection, or is answered.

    What made it spring is not forwarded any more.
    """

    first: bytes
    then: bytes
    answered: bool  # spring when the other side answers, rather than before it is told
    action: Callable[[], None]  # runs while the bytes are held


@dataclass
class _Seen:
    """How near one connection has come to the trap."""

    first: bool = False
    then: bool = False


class Proxy:
    """Forwards 127.0.0.1:`port` to `target`, until told to freeze or to cut.

    Frozen, it accepts connections and bytes and forwards nothing, as a network that drops packets.
    Cut, it ends its connections and refuses new ones. `thaw` forwards again.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._flows: asyncio.Event | None = None
        self._is_cut = False
        self._trap: Trap | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the proxy did not start within 10 s")

    def freeze(self) -> None:
        """Forward nothing more, and say nothing about it."""
        self._do(lambda: self._flows is not None and self._flows.clear())

    def cut(self) -> None:
        """End every connection, and new ones at once."""
        self._do(self._cut)

    def thaw(self, *, forget: bool = False) -> None:
        """Forward again; `forget` ends the connections that were frozen, as a firewall would."""
        self._do(lambda: self._thaw(forget))

    def set_trap(self, trap: Trap) -> None:
        """Spring this trap once, on the first connection that comes to its moment."""
        self._do(lambda: setattr(self, "_trap", trap))

    @property
    def is_set(self) -> bool:
        """Whether a trap waits to spring."""
        return self._trap is not None

    def close(self) -> None:
        """End it for good."""
        self._do(self._end)
        self._thread.join(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)

        async def serve() -> None:
            self._flows = asyncio.Event()
            self._flows.set()
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            self._over = asyncio.Event()
            await self._over.wait()
            server.close()
            self._cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._loop.run_until_complete(serve())
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None and self._flows is not None
        self._tasks.add(task)
        self._open.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self._is_cut:
                return
            await self._flows.wait()
            source, upstream = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(upstream)
            seen = _Seen()
            both = [
                asyncio.create_task(self._pump(reader, upstream, seen, is_answer=False)),
                asyncio.create_task(self._pump(source, writer, seen, is_answer=True)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            pass  # the target is away, which its client is to notice
        finally:
            for each in (writer, upstream):
                if each is not None:
                    self._open.discard(each)
                    each.close()
            self._tasks.discard(task)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        seen: _Seen,
        *,
        is_answer: bool,
    ) -> None:
        assert self._flows is not None
        with contextlib.suppress(OSError):
            while part := await source.read(_CHUNK):
                await self._flows.wait()
                if self._trap is not None and self._springs(self._trap, part, seen, is_answer):
                    return
                sink.write(part)
                await sink.drain()

    def _springs(self, trap: Trap, part: bytes, seen: _Seen, is_answer: bool) -> bool:
        if not is_answer:
            seen.first = seen.first or trap.first in part
            seen.then = seen.then or (seen.first and trap.then in part)
        if not seen.then or is_answer != trap.answered:
            return False
        self._trap = None
        trap.action()
        return True

    def _cut(self) -> None:
        self._is_cut = True
        assert self._flows is not None
        self._flows.set()
        for each in list(self._open):
            if each.transport is not None:
                each.transport.abort()

    def _thaw(self, forget: bool) -> None:
        assert self._flows is not None
        if forget:
            for each in list(self._open):
                each.transport.abort()
        self._is_cut = False
        self._flows.set()

    def _end(self) -> None:
        self._over.set()

    def _do(self, change: object) -> None:
        done = threading.Event()

        def in_loop() -> None:
            change()  # type: ignore[operator]
            done.set()

        self._loop.call_soon_threadsafe(in_loop)
        if not done.wait(10):
            raise RuntimeError("the proxy does not answer")
