"""Watchers that join, leave and abort at random: python churn.py < plan.json > figures.json

The plan: ``host``, ``port``, ``headers``, ``paths``, ``clients``, ``seconds``. Each client chooses
a path, watches for a while, and leaves by a close, by an end of the connection, or by a reset, and
then comes again, sometimes with the last id that it saw. What it gets in one visit has to be in
order and without a gap.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
import time
from collections import Counter
from typing import Any

from client import HANDSHAKE, Frames

#: The longest visit.
STAY_SECONDS = 4.0
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe8"


class Churn:
    """All clients of a plan."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.frames = Frames()
        self.counted: Counter[str] = Counter()
        self.over_at = time.monotonic() + plan["seconds"]

    async def go(self) -> dict[str, int]:
        await asyncio.gather(*(self._client(number) for number in range(self.plan["clients"])))
        return dict(self.counted)

    async def _client(self, number: int) -> None:
        chance = random.Random(number)
        seen: dict[str, tuple[int, int]] = {}
        while time.monotonic() < self.over_at:
            path = chance.choice(self.plan["paths"])
            after = seen.get(path) if chance.random() < 0.5 else None
            try:
                last = await self._visit(chance, path, after)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.counted[f"error {type(error).__name__}"] += 1
                continue
            if last is not None:
                seen[path] = last

    async def _visit(
        self, chance: random.Random, path: str, after: tuple[int, int] | None
    ) -> tuple[int, int] | None:
        plan = self.plan
        reader, writer = await asyncio.open_connection(plan["host"], plan["port"])
        more = "".join(f"{name}: {value}\r\n" for name, value in plan["headers"].items())
        where = path if after is None else f"{path}?after={after[0]}-{after[1]}"
        text = HANDSHAKE.format(path=where, host=plan["host"], port=plan["port"], more=more)
        writer.write(text.encode())
        self.counted["visits"] += 1
        last = after or (0, 0)
        try:
            if chance.random() < 0.05:
                return None  # gone before the answer
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            if b" 101 " not in head[:20]:
                self.counted["refused"] += 1
                return None
            until = time.monotonic() + chance.uniform(0, STAY_SECONDS)
            while (left := until - time.monotonic()) > 0:
                try:
                    frame = await asyncio.wait_for(self._frame(reader), left)
                except TimeoutError:
                    break
                last = self._check(frame, last, writer)
            return last
        finally:
            self._leave(chance, writer)

    async def _frame(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        first, size = await reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await reader.readexactly(8), "big")
        return first, await reader.readexactly(size)

    def _check(
        self, frame: tuple[int, bytes], last: tuple[int, int], writer: asyncio.StreamWriter
    ) -> tuple[int, int]:
        first, payload = frame
        if first & 0x0F == 9:
            writer.write(b"\x8a\x80\x00\x00\x00\x00")
            return last
        if first != 0x81:
            self.counted["corrupt" if first & 0x0F != 8 else "closed"] += 1
            return last
        for each in self.frames.parsed(payload, False).ids:
            if each <= last:
                self.counted["doubled"] += 1
            elif each not in ((last[0], last[1] + 1), (last[0] + 1, 1)):
                self.counted["lost"] += 1
            last = max(last, each)
            self.counted["events"] += 1
        return last

    def _leave(self, chance: random.Random, writer: asyncio.StreamWriter) -> None:
        way = chance.random()
        if way < 0.3:
            writer.write(CLOSE)
        elif way < 0.6:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        writer.close()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(Churn(json.loads(sys.stdin.readline())).go())))
