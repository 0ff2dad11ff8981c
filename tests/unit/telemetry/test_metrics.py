"""What an actor counts, where it shows it, and what it leaves behind for others to find."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from deepring_chain.actors.guard import SessionGuard
from deepring_chain.errors import ChainError, ConfigError, StoreError
from deepring_chain.host_header import REFUSAL
from deepring_chain.ring.options import ActorOptions
from deepring_chain.ring.running import HostRecord, RunningActor, process_start, remove_run_file
from deepring_chain.telemetry.metrics import ActorMetrics, Identity, Phase
from deepring_chain.telemetry.metrics_endpoint import published
from deepring_chain.types import Address, ComplaintKind, Domain
from tests.unit.actors.fake_ring import FakeRing, client_of

DOMAIN = Domain(31337, Address("0x" + "ab" * 20))
ACTOR = Identity("worker-1", "worker", Address("0x" + "cd" * 20), DOMAIN)


def samples(metrics: ActorMetrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every value by name and labels' values, as Prometheus reads it."""
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def fetch(port: int, page: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}") as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as refusal:
        return int(refusal.code), refusal.read()


def announced(folder: Path) -> RunningActor:
    found = RunningActor.read(folder / "run" / "worker-1.json")
    assert found is not None
    return found


# ---------------------------------------------------------------- counting


def test_query_that_goes_round_is_counted_at_every_hop(ring: FakeRing) -> None:
    ring.settle()
    ring.ask()
    ring.settle()
    for member in ring.members:
        counted = samples(member.metrics)
        assert counted["deepring_hops_computed_total", ()] == 1
        for phase in ("compute", "seal", "post", "open", "store"):
            assert counted["deepring_phase_seconds_count", (phase,)] >= 1, phase


def test_follower_tells_the_metrics_what_it_reads(ring: FakeRing) -> None:
    metrics = ActorMetrics(now=lambda: 1234.5)
    ring.settle()
    ring.ask()
    member = ring.members[1]
    follower = type(member.follower)(client_of(member), 1, metrics)  # type: ignore[arg-type]
    follower.refresh()
    told = samples(metrics)
    assert told["deepring_queries_in_flight", ()] == 1
    assert told["deepring_queries", ("submitted",)] == 1
    assert told["deepring_queries", ("delivered",)] == 0
    assert told["deepring_head_block", ()] == ring.ledger.height == metrics.head
    assert told["deepring_lag_blocks", ()] == 0
    assert told["deepring_last_poll_timestamp_seconds", ()] == 1234.5
    assert told["deepring_ring_mode", ("query",)] == 1


def test_blocks_that_are_not_read_yet_are_the_lag() -> None:
    metrics = ActorMetrics()
    metrics.saw_head(70)
    assert samples(metrics)["deepring_lag_blocks", ()] == 70


def test_phase_is_measured_even_when_it_fails_and_shown_while_it_runs() -> None:
    times = iter([10.0, 11.0, 11.5, 13.0])
    metrics = ActorMetrics(clock=lambda: next(times))
    shown: list[Phase | None] = []

    def work() -> None:
        with metrics.phase(Phase.COMPUTE):
            with metrics.phase(Phase.STORE):
                shown.append(metrics.doing)
            shown.append(metrics.doing)
            raise StoreError("away")

    with pytest.raises(StoreError):
        work()
    assert shown == [Phase.STORE, Phase.COMPUTE]
    assert metrics.doing is None
    assert samples(metrics)["deepring_phase_seconds_sum", ("store",)] == 0.5
    assert samples(metrics)["deepring_phase_seconds_sum", ("compute",)] == 3.0


def test_transactions_are_counted_by_function_and_outcome() -> None:
    metrics = ActorMetrics()
    metrics.transaction_mined("post", 44_316)
    metrics.transaction_mined("post", 44_316)
    metrics.transaction_failed("attest", ChainError("no"))
    counted = samples(metrics)
    assert counted["deepring_transactions_total", ("post", "mined")] == 2
    assert counted["deepring_gas_used_total", ("post",)] == 88_632
    assert counted["deepring_transactions_total", ("attest", "ChainError")] == 1


def test_what_never_happened_is_shown_as_zero() -> None:
    counted = samples(ActorMetrics())
    assert counted["deepring_complaints_posted_total", ("missing",)] == 0
    assert counted["deepring_disputes_judged_total", ("nobody",)] == 0
    assert counted["deepring_restores_total", ("done",)] == 0


def test_complaints_verdicts_and_restores_are_counted() -> None:
    metrics = ActorMetrics()
    metrics.complained(ComplaintKind.ALTERED)
    metrics.judged(sender_guilty=True, receiver_guilty=False)
    metrics.judged(sender_guilty=False, receiver_guilty=False)
    metrics.ordered_restore()
    metrics.restored()
    counted = samples(metrics)
    assert counted["deepring_complaints_posted_total", ("altered",)] == 1
    assert counted["deepring_disputes_judged_total", ("sender",)] == 1
    assert counted["deepring_disputes_judged_total", ("nobody",)] == 1
    assert counted["deepring_restores_total", ("ordered",)] == counted["deepring_restores_total", ("done",)] == 1


def test_trouble_of_a_query_is_told_until_it_is_over(ring: FakeRing) -> None:
    ring.settle()
    query = ring.ask()
    metrics = ActorMetrics()
    guard = SessionGuard(metrics)
    session = ring.ledger.state.sessions[query]

    def fail(_session: object) -> bool:
        raise StoreError("the store is away")

    guard.run(session, fail)
    assert metrics.troubles == {f"query {query}": "the store is away"}
    guard.run(session, lambda _: True)
    assert metrics.troubles == {}
    guard.run(session, fail)
    guard.forget(query)
    assert metrics.troubles == {}
    assert samples(metrics)["deepring_errors_total", ("StoreError",)] == 2


def test_two_actors_in_one_process_count_apart() -> None:
    one, other = ActorMetrics(), ActorMetrics()
    one.computed_hop()
    assert samples(other)["deepring_hops_computed_total", ()] == 0


# ---------------------------------------------------------------- showing


def test_metrics_and_health_are_served_at_the_address_that_the_file_names(tmp_path: Path) -> None:
    metrics = ActorMetrics()
    with published(metrics, ACTOR, tmp_path, ActorOptions()):
        running = announced(tmp_path)
        assert (running.name, running.host, running.pid) == ("worker-1", "127.0.0.1", os.getpid())
        assert running.is_alive()
        status, page = fetch(running.port, "/metrics")
        assert status == 200
        assert b'deepring_actor_info{address="0x' in page
        assert b"process_resident_memory_bytes" in page
        status, page = fetch(running.port, "/health")
        assert (status, json.loads(page)["seconds_since_poll"]) == (503, None)
        metrics.saw_head(5)
        status, page = fetch(running.port, "/health")
        assert (status, json.loads(page)["actor"], json.loads(page)["address"]) == (200, "worker-1", ACTOR.address)
        assert fetch(running.port, "/")[0] == 404
    assert not (tmp_path / "run" / "worker-1.json").exists()
    with pytest.raises(OSError, match="refused"):
        fetch(running.port, "/health")


def fetch_as(port: int, page: str, host: str | None) -> tuple[int, bytes]:
    """The answer to a request with this Host header, or without one."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.putrequest("GET", page, skip_host=True)
        if host is not None:
            connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("page", ["/metrics", "/health", "/timings", "/"])
@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_page_elsewhere_whose_name_points_here_reads_nothing(tmp_path: Path, page: str, listening: str) -> None:
    metrics = ActorMetrics()
    metrics.saw_head(5)
    with published(metrics, ACTOR, tmp_path, ActorOptions(metrics_host=listening)):
        port = announced(tmp_path).port
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", None):
            assert fetch_as(port, page, host) == (400, REFUSAL)
        for host in (f"127.0.0.1:{port}", "localhost"):
            assert fetch_as(port, page, host)[0] == (404 if page == "/" else 200)
        assert fetch_as(port, page, "10.1.2.3")[0] == (400 if listening == "127.0.0.1" else fetch(port, page)[0])


def test_actor_that_has_not_seen_the_chain_for_a_minute_is_not_well(tmp_path: Path) -> None:
    metrics = ActorMetrics(now=lambda: 0.0)
    metrics.saw_head(5)
    with published(metrics, ACTOR, tmp_path, ActorOptions()):
        status, page = fetch(announced(tmp_path).port, "/health")
    assert status == 503
    assert json.loads(page)["seconds_since_poll"] > 60


def test_reader_that_says_nothing_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    with published(ActorMetrics(), ACTOR, tmp_path, ActorOptions()):
        port = announced(tmp_path).port
        with socket.create_connection(("127.0.0.1", port)):
            assert fetch(port, "/metrics")[0] == 200


def test_port_that_is_taken_is_refused_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = rf"metrics at 127\.0\.0\.1:{port}: cannot be served \(.+\); choose another --metrics-port"
        with (
            pytest.raises(ConfigError, match=expected),
            published(ActorMetrics(), ACTOR, tmp_path, ActorOptions(metrics_port=port)),
        ):
            pass


def test_interface_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    options = ActorOptions(metrics_host="203.0.113.7")
    with pytest.raises(ConfigError, match=r"203\.0\.113\.7"), published(ActorMetrics(), ACTOR, tmp_path, options):
        pass


def test_no_endpoint_is_opened_where_none_is_wanted(tmp_path: Path) -> None:
    with published(ActorMetrics(), ACTOR, tmp_path, ActorOptions(metrics_port=None)):
        assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- what is left on disk


def test_file_is_one_that_prometheus_discovers_targets_from() -> None:
    (group,) = json.loads(RunningActor("worker-1", "::1", 9100, 7, "8").encode())
    assert group["targets"] == ["[::1]:9100"]
    assert {name for name in group["labels"] if not name.startswith("__meta_")} == {"actor"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[{}]", b'[{"targets": ["x"], "labels": {}}]', b"\xff"])
def test_damaged_files_of_running_actors_and_hosts_are_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run" / "host.status"
    file.parent.mkdir()
    file.write_bytes(content)
    assert RunningActor.read(file) is None
    assert HostRecord.read(tmp_path) is None


def test_running_actor_and_host_survive_the_way_over_the_disk(tmp_path: Path) -> None:
    actor = RunningActor("worker-1", "::1", 9100, os.getpid(), process_start(os.getpid()) or "")
    file = tmp_path / "worker-1.json"
    file.write_bytes(actor.encode())
    assert RunningActor.read(file) == actor
    assert actor.is_alive()
    host = HostRecord(os.getpid(), "long ago", ("ouroboros", "worker-1"), True)
    host.write(tmp_path)
    assert HostRecord.read(tmp_path) == host
    assert not host.is_alive()  # the number is in use, by another process than the one that wrote it
    HostRecord.remove(tmp_path)
    assert HostRecord.read(tmp_path) is None


def test_files_of_another_process_are_left_to_it(tmp_path: Path) -> None:
    other = HostRecord(os.getppid(), "1", ("ouroboros",), True)
    other.write(tmp_path)
    HostRecord.remove(tmp_path)
    assert HostRecord.read(tmp_path) == other
    file = tmp_path / "run" / "worker-1.json"
    with published(ActorMetrics(), ACTOR, tmp_path, ActorOptions()):
        theirs = RunningActor("worker-1", "127.0.0.1", 1, os.getppid(), "1").encode()
        file.write_bytes(theirs)
    assert file.read_bytes() == theirs
    remove_run_file(file, os.getpid())
    assert file.exists()
    remove_run_file(file, os.getppid())
    assert not file.exists()


def test_process_that_ended_is_gone_even_before_it_is_reaped() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_start(process.pid) is not None
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and still a zombie
    assert process_start(process.pid) is None
    process.wait()
    assert process_start(process.pid) is None


def test_every_metric_is_in_the_manual_and_no_other() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "operating.md").read_text()
    listed = set(re.findall(r"^\| `(deepring_\w+)` \|", manual, re.MULTILINE))
    names = {
        family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        for family in ActorMetrics().registry.collect()
        if family.name.startswith("deepring_")
    }
    assert listed == names
