"""The proxy between actors and node: what goes through, and what does not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from assurance.faults.proxy import Proxy, Road
from tests.waiting import wait_until

GREETING = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
FRAME = bytes([0x81, 0x05]) + b"hello"


@pytest.fixture
def far() -> Iterator[int]:
    """A server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _accept(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(4096):
                connection.sendall(data)
        except OSError:
            return


@pytest.fixture
def proxy(far: int) -> Iterator[Proxy]:
    with Proxy(far) as running:
        yield running


def open_connection(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])))


def receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        piece = connection.recv(4096)
        if not piece:
            break
        received += piece
    return received


def test_bytes_pass_both_ways_and_a_websocket_stays_open(proxy: Proxy) -> None:
    with open_connection(proxy) as connection:
        for sent in (GREETING, FRAME, FRAME):
            connection.sendall(sent)
            assert receive(connection, len(sent)) == sent


def test_cut_road_resets_open_connections_and_refuses_new_ones(proxy: Proxy) -> None:
    with open_connection(proxy) as connection:
        connection.sendall(b"ping")
        assert receive(connection, 4) == b"ping"
        proxy.set_road(Road.CUT)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionResetError), open_connection(proxy) as connection:
        connection.recv(1)
    proxy.set_road(Road.OPEN)
    with open_connection(proxy) as connection:
        connection.sendall(b"ping")
        assert receive(connection, 4) == b"ping"


def test_hung_road_keeps_what_was_sent_until_it_is_open_again(proxy: Proxy) -> None:
    with open_connection(proxy) as connection:
        proxy.set_road(Road.HUNG)
        connection.sendall(b"ping")
        wait_until(lambda: proxy.held > 0, "the proxy has the bytes and keeps them")
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(4)
        connection.setblocking(True)
        proxy.set_road(Road.OPEN)
        assert receive(connection, 4) == b"ping"


def test_lossy_road_gives_half_an_answer_and_hangs_up(proxy: Proxy) -> None:
    with open_connection(proxy) as connection:
        proxy.set_road(Road.LOSSY)
        connection.sendall(b"question")
        assert receive(connection, 8) == b"ques"
    assert proxy.lost == 1


def test_slow_road_takes_its_time(proxy: Proxy) -> None:
    proxy.delay = 0.2
    with open_connection(proxy) as connection:
        started = time.monotonic()
        connection.sendall(b"ping")
        assert receive(connection, 4) == b"ping"
        assert time.monotonic() - started >= 0.4
