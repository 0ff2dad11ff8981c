"""A TCP proxy between an actor and its node that can be cut, slowed, stopped, or made to lose answers.

It carries bytes and knows no protocol: JSON-RPC over HTTP and over WebSocket pass alike.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

CHUNK = 65536
HOST = "127.0.0.1"
NO_LINGER = struct.pack("ii", 1, 0)
"""With this, a connection that is closed ends with a reset instead of an orderly end (RFC 9293 3.10.4, ABORT)."""


class Road(Enum):
    """What happens to connections."""

    OPEN = "open"
    CUT = "cut"
    """They are reset, and new ones too."""
    HUNG = "hung"
    """They stay, and nothing goes through."""
    LOSSY = "lossy"
    """Requests arrive; of each answer one half comes back, then the connection is reset."""


class Proxy:
    """Forwards a loopback port of its own to another one, on a thread of its own, as a context manager.

    Attributes:
        delay: seconds that each piece of data waits.
        lost: connections that were reset on purpose.
        held: pieces of data that wait because the road is hung.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._road = Road.OPEN
        self.delay = 0.0
        self.lost = self.held = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        start = asyncio.start_server(self._serve, HOST, 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        return self

    def __exit__(self, *_error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        """Where to connect to, as a JSON-RPC address."""
        if self._server is None:
            raise RuntimeError("the proxy is not started")
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def set_road(self, road: Road) -> None:
        """Changes what happens to connections, those that are open included."""
        self._road = road
        if road is Road.CUT:
            self._on_loop(self._reset_all)

    def _on_loop(self, action: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(action)

    def _reset_all(self) -> None:
        for writer in tuple(self._writers):
            self._reset(writer)

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        self.lost += 1
        connection = writer.get_extra_info("socket")
        if connection is not None:  # None: closed already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        writer.transport.abort()

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._reset_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._road is Road.CUT:
            self._reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target_port)
        except OSError:  # the node is away: so is the way to it
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._writers |= both
        try:
            pumps = (self._pump(reader, far_writer), self._pump(far_reader, writer, is_answer=True))
            await asyncio.gather(*pumps)
        except asyncio.CancelledError:
            return  # asyncio's own callback would print the traceback of a task that was cancelled
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._wait()
                if is_answer and self._road is Road.LOSSY:
                    await self._lose(writer, data)
                    break
                writer.write(data)
                await writer.drain()
        # Everything is on its way; the other direction ends with it, as for every client of a node that hangs up.
        with suppress(OSError, RuntimeError):
            writer.close()

    async def _wait(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        self.held += 1
        while self._road is Road.HUNG:
            await asyncio.sleep(0.02)
        self.held -= 1

    async def _lose(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data[: len(data) // 2])
        with suppress(OSError):
            await asyncio.wait_for(writer.drain(), 1)
        self.lost += 1
