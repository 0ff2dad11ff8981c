"""Which Host headers name a server: a page elsewhere whose name points here must not read it (DNS rebinding)."""

from __future__ import annotations

import socket

import pytest

from deepring_chain.host_header import is_loopback, names_server

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is opened here

FOREIGN = [
    None,
    "",
    "evil.example",
    "evil.example:9100",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "127.0.0.1@evil.example",
    "127.0.0.1, evil.example",
    "127.0.0.1 evil.example",
    "[::1",
    "[evil.example]",
    "127.0.0.1:",
    "127.0.0.1:x",
    "127.0.0.1:\uff19",
    "0x7f000001",
    "2130706433",
]


@pytest.mark.parametrize("header", FOREIGN)
@pytest.mark.parametrize("listening", ["127.0.0.1", "::1", EVERYWHERE, "::", "10.1.2.3", "worker-3.example"])
def test_foreign_name_is_no_servers(header: str | None, listening: str) -> None:
    assert not names_server(header, listening)


@pytest.mark.parametrize("header", ["127.0.0.1", "127.0.0.1:9100", " 127.0.0.1 ", "localhost", "LOCALHOST:1"])
@pytest.mark.parametrize("listening", ["127.0.0.1", EVERYWHERE])
def test_this_machines_names_are_a_servers(header: str, listening: str) -> None:
    assert names_server(header, listening)


def test_loopback_server_has_no_other_address_and_no_machines_name() -> None:
    for header in ("10.1.2.3", "[::1]:9100", socket.gethostname()):
        assert not names_server(header, "127.0.0.1")
    assert names_server("[::1]:9100", "::1")


def test_opened_server_is_named_by_addresses_the_machine_and_what_it_was_started_with() -> None:
    for header in ("10.1.2.3:9100", "[fe80::1]:9100", f"{socket.gethostname()}:9100"):
        assert names_server(header, EVERYWHERE)
    assert names_server("Worker-3.example:9100", "worker-3.example")
    assert not names_server("worker-4.example:9100", "worker-3.example")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in (EVERYWHERE, "::", "", "10.1.2.3", "worker-3.example")],
)
def test_loopback_is_what_this_machine_alone_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
