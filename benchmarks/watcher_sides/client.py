"""Many raw websocket clients in one process: python client.py < plan.json > figures.json

The plan: ``host``, ``port``, ``headers``, ``paths`` (one for each client), ``events`` (by path: how
many each client of it must get; 0: until the job is over), ``steady`` (events up to that number of
the first attempt were sent one by one), ``compressed``, ``seconds`` (at most), ``resume`` (come
again after an interruption), ``pauses`` (by place in ``paths``: seconds without reading, after the
first frame). A log line's ``message`` begins with the moment at which it was written, in Unix
seconds. It says ``ready`` on a line of its own when all are connected, and the figures at the end.

Frames that are equal byte for byte are parsed once, for the client shall cost little beside the
server that it measures; what is checked, order and completeness, is checked for each client.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import sys
import time
import zlib
from typing import Any, NamedTuple

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)
CONNECTS_AT_ONCE = 50
TERMINAL = {"finished", "failed", "cancelled"}


Id = tuple[int, int]


class Said(NamedTuple):
    """What a frame says."""

    ids: list[Id]
    #: When its lines were written.
    moments: list[float]
    truncated: int
    is_last: bool


class Frames:
    """What equal frames say, parsed once."""

    def __init__(self) -> None:
        self._known: dict[bytes, Said] = {}

    def parsed(self, payload: bytes, compressed: bool) -> Said:
        found = self._known.get(payload)
        if found is None:
            text = payload
            if compressed:
                text = zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")
            found = self._known[payload] = _said(json.loads(text))
            if len(self._known) > 64:
                self._known.pop(next(iter(self._known)))
        return found


def _said(events: list[dict[str, Any]]) -> Said:
    ids, moments, truncated, is_last = [], [], 0, False
    for event in events:
        if "id" not in event:
            continue
        attempt, _, seq = event["id"].partition("-")
        ids.append((int(attempt), int(seq)))
        truncated += event["type"] == "truncated"
        is_last = event["type"] == "status" and event.get("status") in TERMINAL
        if event["type"] == "log":
            moments.append(float(event["message"].split(" ", 1)[0]))
    return Said(ids, moments, truncated, is_last)


class Place:
    """What one client has got so far, over all of its connections."""

    def __init__(self, run: Run, number: int, path: str) -> None:
        self.run = run
        self.path = path
        self.wanted = run.plan["events"][path]
        self.pause = run.plan.get("pauses", {}).get(str(number))
        self.last: Id = (0, 0)
        self.got = self.lost = self.doubled = self.corrupt = self.truncated = 0
        self.connections = 0
        self.is_whole = False
        self.done_at: float | None = None
        self.codes: set[int] = set()

    def take(self, said: Said) -> None:
        """Check a frame's events against what came before."""
        now = time.time()
        for each in said.ids:
            attempt, seq = self.last
            if each <= self.last:
                self.doubled += 1
                continue
            if each not in ((attempt, seq + 1), (attempt + 1, 1)):
                self.lost += 1
            self.got += 1
            self.last = each
        self.truncated += said.truncated
        if said.ids and said.ids[0][0] == 1 and said.ids[0][1] <= self.run.plan["steady"]:
            self.run.latencies += [now - each for each in said.moments]
        if said.is_last or (self.wanted and self.got >= self.wanted):
            self.is_whole = True
            self.finish(now)

    def finish(self, now: float) -> None:
        """Nothing more is expected."""
        if self.done_at is None:
            self.done_at = now
            self.run.finished()

    def over(self) -> None:
        """A connection ended."""
        if self.done_at is not None:
            return
        if self.run.plan.get("resume"):
            self.run.come_again(self)
        else:
            self.finish(float("inf"))


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._run = place.run
        self._buffer = bytearray()
        self._is_open = False
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        plan, place = self._run.plan, self._place
        more = "".join(f"{name}: {value}\r\n" for name, value in plan["headers"].items())
        if plan.get("compressed"):
            more += "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        path = place.path
        if place.last > (0, 0):
            path += f"?after={place.last[0]}-{place.last[1]}"
        text = HANDSHAKE.format(path=path, host=plan["host"], port=plan["port"], more=more)
        transport.write(text.encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if b" 101 " not in self._buffer[:20]:
                self._run.refused.append(bytes(self._buffer[:200]).decode("latin-1"))
                self._transport.close()
                return
            del self._buffer[: end + 4]
            self._is_open = True
            self._run.opened(self._place)
            if self._place.pause is not None and self._place.connections == 1:
                self._transport.pause_reading()
                loop = asyncio.get_running_loop()
                loop.call_later(self._place.pause, self._read_on)
        self._take_frames()

    def connection_lost(self, error: Exception | None) -> None:
        self._place.over()

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _take_frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            first, size, begin = buffer[at], buffer[at + 1] & 0x7F, at + 2
            if size == 126:
                size, begin = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, begin = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if len(buffer) < begin + size:
                break
            self._take(first, bytes(buffer[begin : begin + size]))
            at = begin + size
        del buffer[:at]

    def _take(self, first: int, payload: bytes) -> None:
        opcode = first & 0x0F
        if opcode == 9:
            self._transport.write(b"\x8a\x80\x00\x00\x00\x00")
        elif opcode == 8:
            self._place.codes.add(int.from_bytes(payload[:2], "big"))
            self._transport.close()
        elif opcode == 1:
            self._place.take(self._run.frames.parsed(payload, bool(first & 0x40)))
        else:
            self._place.corrupt += 1


class Run:
    """All clients of a plan."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.frames = Frames()
        self.latencies: list[float] = []
        self.refused: list[str] = []
        self.places = [Place(self, *each) for each in enumerate(plan["paths"])]
        self._to_open = self._to_finish = len(self.places)
        self._ready, self._done = asyncio.Event(), asyncio.Event()
        self._gate = asyncio.Semaphore(CONNECTS_AT_ONCE)
        self._coming: set[asyncio.Task[None]] = set()

    def opened(self, place: Place) -> None:
        place.connections += 1
        if place.connections == 1:
            self._to_open -= 1
            if self._to_open == 0:
                self._ready.set()

    def finished(self) -> None:
        self._to_finish -= 1
        if self._to_finish == 0:
            self._done.set()

    def come_again(self, place: Place) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(place, random.uniform(0.1, 1)))
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)

    async def _connect(self, place: Place, wait: float = 0.0) -> None:
        await asyncio.sleep(wait)
        loop = asyncio.get_running_loop()
        async with self._gate:
            try:
                await loop.create_connection(
                    lambda: Connection(place), self.plan["host"], self.plan["port"]
                )
            except OSError:
                place.over()

    async def go(self) -> dict[str, Any]:
        began = time.time()
        await asyncio.gather(*(self._connect(place) for place in self.places))
        await asyncio.wait_for(self._ready.wait(), self.plan["seconds"])
        print("ready", flush=True)
        connected = time.time() - began
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), self.plan["seconds"])
        places = self.places
        ordered = sorted(self.latencies)
        return {
            "watchers": len(places),
            "connected_in_seconds": round(connected, 2),
            "delivered": sum(each.got for each in places),
            "wanted": sum(each.wanted for each in places),
            "whole": sum(each.is_whole for each in places),
            "each_got": sorted({each.got for each in places})[:5],
            "lost": sum(each.lost for each in places),
            "doubled": sum(each.doubled for each in places),
            "corrupt": sum(each.corrupt for each in places),
            "truncated": sum(each.truncated for each in places),
            "connections": sum(each.connections for each in places),
            "refused": self.refused[:3],
            "closed": sorted(set().union(*(each.codes for each in places))),
            "all_done_at": max((each.done_at or float("inf") for each in places), default=0.0),
            "latency_p50": round(statistics.median(ordered), 3) if ordered else None,
            "latency_p99": round(ordered[int(len(ordered) * 0.99)], 3) if ordered else None,
            "latency_max": round(ordered[-1], 3) if ordered else None,
            "client_cpu_seconds": round(time.process_time(), 2),
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(Run(json.loads(sys.stdin.readline())).go())))
