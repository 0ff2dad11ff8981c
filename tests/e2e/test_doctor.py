"""A real ring on a real node, and what can stop it, one after the other: the doctor names the cause, and no other."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from web3.types import RPCEndpoint

from deepring_chain.attacks.bit_flip import flip_file_bit
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.ring.folder import PARAMS_FILE
from deepring_chain.types import Digest, Hop, QueryId, RingMode
from tests.e2e.command import Hurry, Terminal
from tests.e2e.incidents import arrange, stopped
from tests.e2e.live_ring import NO_DEADLINES, LiveRing, random_images, running_ring, tiny_model, wait_for
from tests.waiting import wait_until

Findings = list[tuple[str, str]]


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    """A ring on a node that keeps its chain in a file, at a port that it can come back to."""
    path = tmp_path_factory.mktemp("doctor")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keeps = ("--state", str(path / "chain.json"))
    with running_ring(path / "ring", tiny_model(), port=port, extra=keeps, arrange_every=100) as live:
        live.ask(random_images(2))
        yield live


def examine(terminal: Terminal, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """The doctor's exit code and findings."""
    code, output, errors = terminal.run("doctor", "--json", *arguments)
    assert errors == ""
    told = json.loads(output)
    assert told["is_healthy"] is (code == 0)
    assert all(finding["sentence"].endswith(".") and finding["mend"] for finding in told["findings"])
    return int(str(code)), told["findings"]


def causes(terminal: Terminal, ring: LiveRing, *arguments: object) -> Findings:
    """Severity and cause of each finding; errors make the exit code 1, and nothing else does."""
    code, findings = examine(terminal, "--ring", ring.folder.path, *arguments)
    found = [(finding["severity"], finding["cause"]) for finding in findings]
    assert code == int(any(severity == "error" for severity, _ in found))
    return found


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """A file or folder that is not there while the block lasts."""
    away = path.with_name(f"{path.name}.away")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


def blob_path(ring: LiveRing, digest: Digest) -> Path:
    return ring.folder.path / "store" / digest.hex()[:2] / digest.hex()


# ---------------------------------------------------------------- node and ledger


def test_nothing_is_found_in_a_ring_that_is_well(ring: LiveRing, terminal: Terminal) -> None:
    assert causes(terminal, ring) == []
    assert terminal.said("doctor", "--ring", ring.folder.path).splitlines() == [
        "nothing wrong is found",
        f"new blocks: the node announces them to all {len(ring.names)} actors here",
    ]


def test_node_that_is_down_is_named_alone(ring: LiveRing, terminal: Terminal) -> None:
    ring.devnet.stop()
    try:
        assert causes(terminal, ring) == [("error", "node_down")]
    finally:
        ring.devnet.start()
    wait_until(lambda: causes(terminal, ring) == [], "the ring is well again")


def test_node_that_hangs_is_named(ring: LiveRing, terminal: Terminal, hurry: Hurry) -> None:
    hurry.node()
    os.kill(ring.devnet.process_id, signal.SIGSTOP)
    try:
        assert causes(terminal, ring, "--timeout", 1) == [("error", "node_hung")]
    finally:
        os.kill(ring.devnet.process_id, signal.SIGCONT)


def test_node_that_answers_a_byte_at_a_time_is_given_up(ring: LiveRing, terminal: Terminal, hurry: Hurry) -> None:
    hurry.node()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_drip, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert causes(terminal, ring, "--rpc", url, "--timeout", 1) == [("error", "node_hung")]


def _drip(server: socket.socket) -> None:
    hung_up = threading.Event()  # never set: the next byte's error ends this
    with suppress(OSError):  # until the reader hangs up
        reader, _ = server.accept()
        with reader:
            reader.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                reader.sendall(b" ")
                hung_up.wait(0.1)


def test_node_of_another_chain_is_named(ring: LiveRing, terminal: Terminal) -> None:
    with Devnet(chain_id=4242) as other:
        code, (finding,) = examine(terminal, "--ring", ring.folder.path, "--rpc", other.url)
    assert (code, finding["cause"]) == (1, "wrong_chain")
    assert "on chain 4242" in finding["sentence"]
    assert f"on chain {ring.deployment.chain_id}" in finding["sentence"]


def test_fresh_devnet_without_the_contract_is_named(ring: LiveRing, terminal: Terminal) -> None:
    with Devnet() as fresh:
        code, (finding,) = examine(terminal, "--ring", ring.folder.path, "--rpc", fresh.url)
    assert (code, finding["cause"]) == (1, "contract_missing")
    assert "a devnet that was started anew" in finding["sentence"]
    assert finding["mend"].startswith(f"deepring up --ring {ring.folder.path} --rpc {fresh.url}")


def test_address_without_a_contract_is_named(ring: LiveRing, terminal: Terminal) -> None:
    nobody = "0x" + "11" * 20
    code, (finding,) = examine(terminal, "--rpc", ring.devnet.url, "--ledger", nobody)
    assert (code, finding["cause"]) == (1, "contract_missing")


# ---------------------------------------------------------------- actors


def test_worker_that_is_down_is_named_with_the_command_that_starts_it(ring: LiveRing, terminal: Terminal) -> None:
    ring.kill("worker-2")
    try:
        code, (finding,) = examine(terminal, "--ring", ring.folder.path)
    finally:
        ring.start("worker-2")
    assert (code, finding["cause"]) == (1, "actor_down")
    assert finding["sentence"].startswith("worker-2 does not run")
    assert finding["mend"].startswith(f"deepring run {ring.folder.path}/worker-2 --deployment ")


def test_worker_that_hangs_is_named(ring: LiveRing, terminal: Terminal, hurry: Hurry) -> None:
    hurry.processes(ring.pid("worker-3"))
    with stopped(ring, "worker-3"):
        code, (finding,) = examine(terminal, "--ring", ring.folder.path)
    assert (code, finding["cause"]) == (1, "actor_stalled")
    assert f"worker-3 (process {ring.pid('worker-3')}) runs and does not answer" in finding["sentence"]


def test_worker_without_funds_is_named_and_fund_mends_it(ring: LiveRing, terminal: Terminal) -> None:
    worker = ring.folder.load_config().workers[1]
    web3 = connect(ring.devnet.url)
    web3.provider.make_request(RPCEndpoint("anvil_setBalance"), [worker.address, "0x1"])
    code, (finding,) = examine(terminal, "--ring", ring.folder.path)
    assert (code, finding["cause"]) == (1, "out_of_funds")
    assert finding["sentence"].startswith(f"worker-2 ({worker.address}) has less than 0.000001 ether")
    assert finding["mend"] == f"deepring fund --ring {ring.folder.path}"
    terminal.said("fund", "--ring", ring.folder.path)
    assert causes(terminal, ring) == []


@pytest.mark.parametrize("name", ["account.json", "sealing.pem"])
def test_missing_key_is_named(ring: LiveRing, terminal: Terminal, name: str) -> None:
    with moved_away(ring.folder.path / "worker-1" / name):
        code, (finding,) = examine(terminal, "--ring", ring.folder.path)
    assert (code, finding["cause"]) == (1, "key_missing")
    assert finding["sentence"] == f"worker-1: its key {name} is missing."


def test_key_of_another_worker_is_named(ring: LiveRing, terminal: Terminal) -> None:
    own, other = (ring.folder.path / name / "account.json" for name in ("worker-1", "worker-2"))
    with moved_away(own):
        own.write_bytes(other.read_bytes())
        assert causes(terminal, ring) == [("error", "key_missing")]


# ---------------------------------------------------------------- store


def test_store_that_is_away_is_named(ring: LiveRing, terminal: Terminal) -> None:
    with moved_away(ring.folder.path / "store"):
        assert causes(terminal, ring) == [("error", "store_unreachable")]


def test_lost_answer_is_named(ring: LiveRing, terminal: Terminal) -> None:
    answer = ring.session(QueryId(1)).answer
    assert answer is not None
    with moved_away(blob_path(ring, answer.answer)):
        code, (finding,) = examine(terminal, "--ring", ring.folder.path)
    assert (code, finding["cause"]) == (1, "blob_lost")
    assert "Query 1: the sealed answer is missing" in finding["sentence"]


def test_lost_envelope_of_the_past_is_a_warning(ring: LiveRing, terminal: Terminal) -> None:
    envelope = ring.session(QueryId(1)).updates[Hop(1)].signed.update.envelope
    with moved_away(blob_path(ring, envelope)):
        assert causes(terminal, ring) == [("warning", "blob_lost")]


def test_damaged_envelope_that_the_next_hop_waits_for_is_named(
    ring: LiveRing, terminal: Terminal, hurry: Hurry
) -> None:
    hurry.processes(ring.pid("worker-2"))
    images = random_images(3)
    with stopped(ring, "worker-2"):
        query = ring.querent().submit(images)
        session = ring.await_session(query, lambda session: session.next_hop == 2)
        path = blob_path(ring, session.updates[Hop(1)].signed.update.envelope)
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        found = causes(terminal, ring)
        path.write_bytes(good)
    assert found == [("error", "blob_lost"), ("error", "actor_stalled")]
    assert wait_for(ring.querent(), query).output == ring.plain_output(images)


# ---------------------------------------------------------------- the ring


def test_ring_in_tracking_mode_is_named(ring: LiveRing, terminal: Terminal) -> None:
    """The ouroboros dies when all but a tampered worker have attested: then nobody restores that worker."""
    flip_file_bit(ring.folder.path / "worker-2" / PARAMS_FILE, "layer.2.weight", 77)
    ring.kill("worker-2")
    ring.start("worker-2")
    with stopped(ring, "worker-2"):
        before = ring.state().arrangement
        arrange(ring)
        wait_until(lambda: _all_but_one_attested(ring, before), "the others attest")
        ring.kill("ouroboros")
    ring.await_mode(RingMode.TRACKING)
    try:
        found = causes(terminal, ring)
        _, text, _ = terminal.run("doctor", "--ring", ring.folder.path)
    finally:
        ring.start("ouroboros")
    assert found == [("error", "actor_down"), ("error", "tracking")]
    assert "a block does not hold its parameters" in text
    ring.await_mode(RingMode.QUERY)
    wait_until(lambda: causes(terminal, ring) == [], "the ring is well again")


def _is_settled(ring: LiveRing) -> bool:
    current = ring.state().arrangement
    return current is not None and current.is_authentic is True and not current.restores


def _all_but_one_attested(ring: LiveRing, before: Any) -> bool:
    current = ring.state().arrangement
    if current is None or current.arranged.arrangement <= before.arranged.arrangement:
        return False
    return len(current.missing_seats()) == 1


def test_deadline_that_passed_is_named_with_who_is_late(ring: LiveRing, terminal: Terminal, hurry: Hurry) -> None:
    """Last, since the chain's clock is set forward: that is found as well."""
    hurry.processes(ring.pid("worker-2"), ring.pid("ouroboros"))
    wait_until(lambda: _is_settled(ring), "the arrangement that follows a restore")
    with stopped(ring, "worker-2"):
        query = ring.querent().submit(random_images(3))
        ring.await_session(query, lambda session: session.next_hop == 2)
        with stopped(ring, "ouroboros"):
            ring.pass_deadline(NO_DEADLINES.hop)
            code, findings = examine(terminal, "--ring", ring.folder.path)
    (late,) = [finding for finding in findings if finding["cause"] == "deadline_passed"]
    assert code == 1
    assert late["sentence"].startswith(f"Query {query}: hop 2 (worker-2) was due ")
    assert {finding["cause"] for finding in findings} == {"deadline_passed", "actor_stalled", "clock_skew"}
