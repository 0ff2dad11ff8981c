"""What an operator reads of a ring that runs: status, metrics and logs, and that none of them tells a secret."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families

from deepring_chain.attacks.orders import Lie
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.crypto.digest import hop_key
from deepring_chain.crypto.keys import load_keys
from deepring_chain.model.layer import run_layer
from deepring_chain.protocol.draws import RouteDraw
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.ring.folder import RingFolder
from deepring_chain.ring.options import ActorOptions
from deepring_chain.ring.running import RunningActor
from deepring_chain.types import Hop, QueryPhase
from tests.e2e.command import Hurry, Terminal, ring_up
from tests.e2e.incidents import events_since, order, stopped
from tests.e2e.live_ring import PASSWORD, LiveRing, random_images, tiny_model, wait_for
from tests.waiting import wait_until

LAB = "deepring_chain.attacks"
IMAGES = random_images(5, seed=3)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    """A ring with JSON logs that answered one query, caught a liar in another, and whose actors hold all their keys."""
    path = tmp_path_factory.mktemp("operations") / "ring"
    with Devnet() as devnet:
        options = ActorOptions(arrange_every=100, log_format="json")
        live = LiveRing(RingFolder(path), tiny_model(), devnet, options, host_module=LAB, standbys=1)
        live.start_all()
        try:
            live.ask(IMAGES)
            order(live, "worker-2", Lie.BOGUS_NEXT)
            live.ask(IMAGES)
            yield live
        finally:
            live.processes.stop()


def page(ring: LiveRing, name: str, what: str = "metrics") -> str:
    running = RunningActor.read(ring.folder.path / "run" / f"{name}.json")
    assert running is not None
    with urllib.request.urlopen(f"http://{running.host}:{running.port}/{what}") as answer:
        return str(answer.read().decode())


def value(ring: LiveRing, actor: str, sample: str, *labels: str) -> float:
    families = text_string_to_metric_families(page(ring, actor))
    (found,) = [
        s.value
        for family in families
        for s in family.samples
        if s.name == f"deepring_{sample}" and tuple(s.labels.values()) == labels
    ]
    return float(found)


def status(terminal: Terminal, *arguments: object) -> dict[str, Any]:
    told = json.loads(terminal.said("status", "--json", *arguments))
    assert isinstance(told, dict)
    return told


# ---------------------------------------------------------------- metrics


def test_metrics_of_a_live_ring_tell_hops_gas_disputes_and_phases(ring: LiveRing) -> None:
    address = next(entry.address for entry in ring.folder.load_config().workers if entry.name == "worker-1")
    posted = [e for e in events_since(ring, ring.deployment.first_block - 1) if isinstance(e, UpdatePosted)]
    assert value(ring, "worker-1", "hops_computed_total") == sum(event.signer == address for event in posted) >= 2
    assert value(ring, "worker-1", "gas_used_total", "post") > 100_000
    assert value(ring, "ouroboros", "disputes_judged_total", "sender") == 1
    assert value(ring, "ouroboros", "transactions_total", "judge", "mined") == 1
    assert value(ring, "ouroboros", "queries", "delivered") == 2
    assert value(ring, "ouroboros", "queries_in_flight") == 0
    assert value(ring, "worker-3", "head_block") == ring.client().head().number
    assert value(ring, "worker-3", "ring_mode", "query") == 1
    assert 99 < value(ring, "worker-1", "balance_ether") <= 100
    for phase in ("open", "compute", "seal", "store", "post"):
        assert value(ring, "worker-1", "phase_seconds_count", phase) >= 2
    assert re.search(r"^process_resident_memory_bytes [1-9]", page(ring, "worker-1"), re.MULTILINE)


def test_every_actors_endpoint_is_on_the_loopback_interface_alone(ring: LiveRing) -> None:
    files = sorted((ring.folder.path / "run").glob("*.json"))
    assert sorted(file.stem for file in files) == sorted(ring.names)
    ports = set()
    for file in files:
        running = RunningActor.read(file)
        assert running is not None
        ports.add(f"{running.port:04X}")
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = {fields[1].split(":")[0] for fields in listening if fields[1].split(":")[1] in ports}
    assert addresses == {"0100007F"}


def test_labels_are_few_and_hold_names_only(ring: LiveRing) -> None:
    for name in ring.names:
        families = list(text_string_to_metric_families(page(ring, name)))
        assert sum(len(family.samples) for family in families) < 400
        shown = [sample for family in families for sample in family.samples if sample.name != "deepring_actor_info"]
        labels = {text for sample in shown for text in sample.labels.values()}
        assert [text for text in labels if not re.fullmatch(r"[A-Za-z_]+|[0-9.e+-]+|\+Inf", text)] == []


# ---------------------------------------------------------------- secrets


def test_logs_metrics_and_health_tell_no_secret(ring: LiveRing, terminal: Terminal) -> None:
    pages = ("metrics", "health", "timings")
    told = {f"{name} {what}": page(ring, name, what) for name in ring.names for what in pages}
    told |= {file.name: file.read_text() for file in ring.folder.logs.glob("*.log")}
    told |= {file.name: file.read_text() for file in (ring.folder.path / "run").iterdir()}
    told["status"] = terminal.said("status", "--json", "--ring", ring.folder.path)
    told["doctor"] = terminal.said("doctor", "--json", "--ring", ring.folder.path)
    assert any('"event": "query 2: hop' in text for text in told.values())  # the logs are there, and they are JSON
    forms = {form for secret in secrets_of(ring) for form in spellings(secret)}
    assert len(forms) > 100
    keys = load_keys(ring.folder.path / "worker-2", PASSWORD)
    planted = [PASSWORD, bytes(keys.account.key).hex(), str(list(IMAGES.tobytes()[:40]))]
    assert leaks({text: f"... {text} ..." for text in planted}, forms) == planted  # what is there is found
    assert leaks(told, forms) == []


def leaks(told: dict[str, str], forms: set[str]) -> list[str]:
    """Where one of the forms stands."""
    return [place for place, text in told.items() if any(form in text for form in forms)]


def secrets_of(ring: LiveRing) -> list[bytes]:
    """Password, private keys, commitment keys, salts, challenges, inputs and every layer's output."""
    secrets = [PASSWORD.encode(), IMAGES.tobytes()]
    for name in [*ring.names, "querent"]:
        keys = load_keys(ring.folder.path / name, PASSWORD)
        secrets += [bytes(keys.account.key), keys.sealing.private_bytes_raw()]
    journal = ring.journal("ouroboros")
    draws = [RouteDraw.decode(journal.read(key) or b"") for key in journal.keys("route/")]
    secrets += [record for key in journal.keys("arrangement/") if (record := journal.read(key)) is not None]
    journal.close()
    assert len(draws) == 3
    for draw in draws:
        secrets += [draw.commitment_key, *draw.salts, *(hop_key(draw.commitment_key, Hop(hop)) for hop in range(4))]
    tensor = ring.model.card.quantise_input(IMAGES)
    for layer in ring.model.layers:
        secrets.append(bytes(tensor.data))
        tensor = run_layer(layer, tensor, torch.device("cpu"))
    return [*secrets, bytes(tensor.data)]


def spellings(secret: bytes) -> set[str]:
    """How a secret may stand in a text; of a long one its middle is enough."""
    middle = len(secret) // 2
    pieces = [secret] if len(secret) <= 64 else [secret[:16], secret[middle : middle + 16]]
    forms: set[str] = set()
    for piece in (piece for piece in pieces if len(set(piece)) > 4):
        numbers = np.frombuffer(piece, np.int8)
        forms |= {piece.hex(), piece.hex().upper(), str(int.from_bytes(piece, "big"))}
        forms |= {base64.b64encode(piece).decode().rstrip("="), repr(piece)[2:-1], piece.decode("latin-1")}
        forms |= {mark.join(map(str, n)) for mark in (", ", " ", ",") for n in (list(piece), numbers.tolist())}
    return forms


# ---------------------------------------------------------------- status


def test_status_of_a_ring_that_runs_tells_everything(ring: LiveRing, terminal: Terminal) -> None:
    told = status(terminal, "--ring", ring.folder.path)
    assert told["ring"]["mode"] == "query"
    assert told["ring"]["queries"] == {"delivered": 2}
    assert told["code"] == {"has_code": True, "is_shipped": True, "is_same_chain": True}
    assert told["node"]["chain_id"] == ring.deployment.chain_id
    assert abs(told["clock_skew"]) < 5
    assert told["store"]["lost"] == []
    assert told["store"]["checked"] > 10
    actors = {actor["name"]: actor for actor in told["actors"]}
    assert sorted(actors) == sorted([*ring.names, "querent"])
    assert {actors[name]["process"]["life"] for name in ring.names} == {"running"}
    assert [actors[name]["process"]["pid"] for name in ring.names] == [ring.pid(name) for name in ring.names]
    seated = sorted(actor["seat"] for actor in actors.values() if actor["seat"] is not None)
    assert seated == [0, 1, 2, 3]
    web3 = connect(ring.devnet.url)
    for actor in actors.values():
        assert actor["account"]["nonce"] == web3.eth.get_transaction_count(actor["address"])
        assert actor["account"]["balance"] == web3.eth.get_balance(actor["address"])
    assert actors["worker-1"]["last_block"] is not None
    text = terminal.said("status", "--ring", ring.folder.path)
    assert "mode QUERY" in text
    assert re.search(r"worker-2-standby-1 +2 ", text)


def test_status_tells_what_a_query_waits_for(ring: LiveRing, terminal: Terminal, hurry: Hurry) -> None:
    seated = _seated_at(ring, 3)
    hurry.processes(ring.pid(seated))
    with stopped(ring, seated):
        query = ring.querent().submit(IMAGES)
        ring.await_session(query, lambda session: session.next_hop == 3)
        told = status(terminal, "--ring", ring.folder.path)
        text = terminal.said("status", "--ring", ring.folder.path)
    (waiting,) = told["ring"]["waiting"]
    assert (waiting["query"], waiting["awaits"], waiting["next_hop"]) == (query, "hop", 3)
    actors = {actor["address"]: actor for actor in told["actors"]}
    assert [actors[address]["name"] for address in waiting["whom"]] == [seated]
    assert actors[waiting["whom"][0]]["process"]["life"] == "stalled"
    assert f"query {query}: routed, waits for hop 3 of 3, by {seated}, since " in text
    assert wait_for(ring.querent(), query).output == ring.plain_output(IMAGES)


def _seated_at(ring: LiveRing, layer: int) -> str:
    current = ring.state().arrangement
    assert current is not None
    entries = ring.folder.load_config().workers
    return next(e.name for e in entries if e.layer == layer and e.address in current.arranged.seats)


def test_operator_of_one_worker_gets_its_own_and_what_the_ledger_tells(
    ring: LiveRing, terminal: Terminal, tmp_path: Path
) -> None:
    folder = tmp_path / "worker-1"
    shutil.copytree(ring.folder.path / "worker-1", folder)
    alone = status(terminal, "--actor", folder)
    assert [actor["name"] for actor in alone["actors"]] == ["worker-1"]
    assert alone["actors"][0]["process"]["life"] == "elsewhere"
    assert (alone["node"], alone["ring"], alone["store"]) == (None, None, None)
    published = ring.folder.path / "deployment.toml"
    told = status(terminal, "--actor", folder, "--deployment", published)
    assert told["ring"]["mode"] == "query"
    assert [actor["name"] for actor in told["actors"]].count("worker-1") == 1
    assert len(told["actors"]) == 7  # the ledger knows six more accounts, by their addresses
    assert told["actors"][0]["role"] == "ouroboros"
    shutil.copy(published, tmp_path)  # beside the folder it is found by itself
    assert status(terminal, "--actor", folder)["ring"]["mode"] == "query"


def test_addresses_alone_are_enough_for_what_is_public(ring: LiveRing, terminal: Terminal) -> None:
    known = ring.deployment
    told = status(terminal, "--rpc", known.rpc_url, "--ledger", known.ledger.lower(), "--store", known.store_url)
    assert told["ring"]["queries"] == {"delivered": len(ring.state().sessions)}
    assert told["target"]["first_block"] is None  # it was searched for
    assert told["store"]["trouble"] is None
    assert {actor["process"]["life"] for actor in told["actors"]} == {"elsewhere"}
    code, output, _ = terminal.run("doctor", "--rpc", known.rpc_url, "--ledger", known.ledger)
    assert (code, output.splitlines()[0]) == (0, "nothing wrong is found")
    assert "not looked at: the actors' processes and files (--ring, --actor)" in output


def test_status_without_ring_and_addresses_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    assert "no ring here" in terminal.refusal("status", "--ring", tmp_path / "none")
    assert "no such folder" in terminal.refusal("status", "--actor", tmp_path / "none")
    assert "not an address" in terminal.refusal("doctor", "--rpc", "http://127.0.0.1:1", "--ledger", "0x12")
    assert "not an http" in terminal.refusal("doctor", "--ring", tmp_path, "--rpc", "ftp://x")


def test_damaged_list_of_the_ring_is_refused_in_one_line(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "ring.toml").write_text("format = 1\nworker = 3\n")
    assert "ring.toml: damaged" in terminal.refusal("status", "--ring", tmp_path)


def test_ring_that_was_never_deployed_is_told(terminal: Terminal, tmp_path: Path) -> None:
    terminal.said("init", "--ring", tmp_path / "ring")
    told = status(terminal, "--ring", tmp_path / "ring")
    assert (told["node"], len(told["actors"])) == (None, 7)
    code, output, _ = terminal.run("doctor", "--ring", tmp_path / "ring")
    assert code == 1
    assert "never brought onto a chain" in output


def test_nodes_address_is_shown_without_its_keys(terminal: Terminal) -> None:
    url = "http://user:hunter2@127.0.0.1:1/v3/0123456789abcdef0123456789abcdef?key=s3cr3t"
    for command in ("status", "doctor"):
        _, output, errors = terminal.run(command, "--json", "--rpc", url, "--ledger", "0x" + "11" * 20)
        assert "127.0.0.1:1" in output
        assert not re.search("hunter2|0123456789abcdef|s3cr3t", output + errors)


# ---------------------------------------------------------------- the whole command


def test_up_serves_metrics_at_the_ports_that_were_asked_for(terminal: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "ring"
    terminal.said("init", "--ring", folder)
    port = _free_ports(6)
    with ring_up(folder, "--metrics-port", port, "--log-format", "json"):
        for number, name in enumerate(["ouroboros", *(f"worker-{layer}" for layer in range(1, 6))]):
            running = RunningActor.read(folder / "run" / f"{name}.json")
            assert running is not None
            assert running.port == port + number
        told = status(terminal, "--ring", folder)
        assert told["host"] == {"is_alive": True, "restarts": True}
        assert json.loads((folder / "logs" / "worker-1.log").read_text().splitlines()[0])["actor"] == "worker-1"
    assert list((folder / "run").iterdir()) == []
    code, output, _ = terminal.run("doctor", "--ring", folder)
    assert (code, output.splitlines()[0]) == (1, "error: node down")
    assert "None of the ring's processes runs on this machine." in output


def _free_ports(count: int) -> int:
    """The first of some ports in a row that nobody listens on."""
    taken = {
        int(line.split()[1].split(":")[1], 16)
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
    }
    start = 20_000 + time.time_ns() % 8_000
    while taken & set(range(start, start + count)):
        start += count
    return start


def test_ring_whose_host_was_killed_is_told_as_gone(ring: LiveRing, terminal: Terminal) -> None:
    """Last: the ring is started anew for it."""
    ring.kill_host()
    code, output, _ = terminal.run("doctor", "--json", "--ring", ring.folder.path)
    (finding,) = json.loads(output)["findings"]
    assert (code, finding["cause"]) == (1, "actor_down")
    assert "All of the ring's processes are gone" in finding["sentence"]
    ring.restart_all(restarts=False)
    wait_until(lambda: terminal.run("doctor", "--ring", ring.folder.path)[0] == 0, "the ring is well again")
    assert ring.session(ring.ask(IMAGES).query).phase is QueryPhase.DELIVERED
