"""The doctor's judgment, by table: one thing is changed in a ring that is well, and its cause is named, no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepring_chain.chain.probe import AccountFacts, CodeFacts, NodeFacts
from deepring_chain.health.diagnose import Cause, Finding, Severity, diagnose
from deepring_chain.health.races import Races
from deepring_chain.health.snapshot import (
    ActorFacts,
    Awaited,
    HostFacts,
    Life,
    LostBlob,
    ProcessFacts,
    QueryFacts,
    RingFacts,
    Role,
    SeatFacts,
    Snapshot,
    StoreFacts,
    Target,
)
from deepring_chain.types import (
    Address,
    ArrangementId,
    Attempt,
    Digest,
    Hop,
    Pointer,
    Position,
    QueryId,
    QueryPhase,
    RingMode,
)

NOW = 1_800_000_000
URL = "http://127.0.0.1:8545"
LEDGER = Address("0x" + "12" * 20)
ADDRESSES = [Address(f"0x{number:040x}") for number in range(4)]
RICH = AccountFacts(10**20, 5, 5)
WELL = ProcessFacts(Life.RUNNING, 100, 0.1)
BLOB = Pointer(Digest(bytes(range(32))))

Change = Callable[[Snapshot], Snapshot]


def actor(number: int) -> ActorFacts:
    name, role = ("ouroboros", Role.OUROBOROS) if number == 0 else (f"worker-{number}", Role.WORKER)
    place = (ADDRESSES[number], number, Position(number), Path("ring") / name)
    return ActorFacts(name, role, *place, {}, WELL, RICH, 40, NOW - 30)


def a_query(**changed: Any) -> QueryFacts:
    query = QueryFacts(
        query=QueryId(7),
        phase=QueryPhase.ROUTED,
        attempt=Attempt(1),
        next_hop=Hop(2),
        hops=4,
        awaits=Awaited.HOP,
        whom=(ADDRESSES[2],),
        since=NOW - 5,
        deadline=NOW + 55,
        withdraw_after=NOW + 595,
    )
    return replace(query, **changed)


def well() -> Snapshot:
    seats = tuple(SeatFacts(Position(seat), ADDRESSES[seat], True, 0) for seat in range(4))
    return Snapshot(
        target=Target(Path("ring"), None, Path("ring/deployment.toml"), URL, 31337, LEDGER, 3, "ab" * 32, "file:///s"),
        taken_at=float(NOW),
        host=HostFacts(is_alive=True, restarts=True),
        node=NodeFacts(URL, None, False, 31337, 50, NOW - 5, NOW, 0.01),
        code=CodeFacts(has_code=True, is_shipped=True, is_same_chain=True),
        ring=RingFacts(
            RingMode.QUERY, ADDRESSES[0], 1, 3, seats, {QueryPhase.ROUTED: 1}, (a_query(),), False, 60, 600, NOW - 40
        ),
        store=StoreFacts("file:///s", None, 12),
        gas_price=10**9,
        actors=(*(actor(number) for number in range(4)), ActorFacts("querent", Role.QUERENT, ADDRESSES[3])),
    )


def with_actor(number: int, **changed: Any) -> Change:
    def change(snapshot: Snapshot) -> Snapshot:
        actors = [replace(a, **changed) if place == number else a for place, a in enumerate(snapshot.actors)]
        return replace(snapshot, actors=tuple(actors))

    return change


def with_process(number: int, **changed: Any) -> Change:
    return with_actor(number, process=replace(WELL, **changed))


def with_part(part: str, **changed: Any) -> Change:
    return lambda snapshot: replace(snapshot, **{part: replace(getattr(snapshot, part), **changed)})


def with_query(**changed: Any) -> Change:
    return with_part("ring", waiting=(a_query(**changed),))


def unattested(number: int, restores: int = 0) -> tuple[SeatFacts, ...]:
    return tuple(
        SeatFacts(Position(seat), ADDRESSES[seat], seat != number, restores if seat == number else 0)
        for seat in range(4)
    )


def all_of(*changes: Change) -> Change:
    def change(snapshot: Snapshot) -> Snapshot:
        for each in changes:
            snapshot = each(snapshot)
        return snapshot

    return change


def nobody(life: Life) -> Change:
    return all_of(*(with_process(number, life=life, pid=None) for number in range(4)))


def unreachable(is_silent: bool) -> Change:
    """What the collector finds out when the node does not answer."""
    node = NodeFacts(URL, "http://127.0.0.1:8545: no node answers", is_silent)
    return lambda snapshot: replace(snapshot, node=node, code=None, ring=None, gas_price=None)


ERROR, WARNING = Severity.ERROR, Severity.WARNING

TABLE: dict[str, tuple[Change, Severity, Cause, str, str]] = {
    "node down": (
        unreachable(is_silent=False),
        ERROR,
        Cause.NODE_DOWN,
        "The node is down: ",
        "start that node again, or name another one of the same chain 31337 with --rpc",
    ),
    "own devnet down": (
        all_of(unreachable(is_silent=False), with_part("target", is_own_devnet=True)),
        ERROR,
        Cause.NODE_DOWN,
        "The node is down: ",
        "deepring up --ring ring    # a new devnet and ledger",
    ),
    "node hung": (unreachable(is_silent=True), ERROR, Cause.NODE_HUNG, "does not answer", "start that node again"),
    "two owners": (
        with_process(0, owners=(100, 200)),
        ERROR,
        Cause.TWO_OWNERS,
        "ouroboros is run by processes 100 and 200 at once",
        "kill 200",
    ),
    "arrangement of another ouroboros": (
        all_of(with_process(0, owners=(100,)), with_part("ring", races=Races(foreign=(ArrangementId(3),)))),
        ERROR,
        Cause.RACING_ARRANGEMENTS,
        "Arrangement 3 was not drawn by the ouroboros that runs here",
        "stop the other ouroboros, wherever it runs; then: deepring arrange --ring ring",
    ),
    "arrangements made in haste": (
        with_part("ring", races=Races(hasty=tuple(map(ArrangementId, (3, 4, 6, 7))))),
        ERROR,
        Cause.RACING_ARRANGEMENTS,
        "4 of the last arrangements (4, 6, 7) were made while the one before was being attested",
        "deepring arrange --ring ring",
    ),
    "wrong chain": (
        all_of(with_part("node", chain_id=1), lambda snapshot: replace(snapshot, code=None, ring=None)),
        ERROR,
        Cause.WRONG_CHAIN,
        "is on chain 1, and the ring is deployed on chain 31337",
        "--rpc URL    # of a node on chain 31337",
    ),
    "chain of the same id": (
        with_part("code", is_same_chain=False),
        ERROR,
        Cause.WRONG_CHAIN,
        "another chain of id 31337",
        "--rpc URL",
    ),
    "contract missing": (
        with_part("code", has_code=False, is_shipped=False),
        ERROR,
        Cause.CONTRACT_MISSING,
        f"There is no contract at {LEDGER} on chain 31337.",
        f"deepring up --ring ring --rpc {URL}",
    ),
    "other code": (
        with_part("code", is_shipped=False),
        ERROR,
        Cause.CODE_DIFFERS,
        "is not the ledger of this release",
        "install the release",
    ),
    "never deployed": (
        lambda snapshot: replace(snapshot, target=Target(ring=Path("ring")), node=None, code=None, ring=None),
        ERROR,
        Cause.NOT_DEPLOYED,
        "has no deployment",
        "deepring up --ring ring",
    ),
    "unreadable events": (
        lambda snapshot: replace(snapshot, ring=None, ring_trouble="reading the ledger: not within 60 s"),
        ERROR,
        Cause.LEDGER_UNREADABLE,
        "not within 60 s",
        "--rpc",
    ),
    "worker down": (
        with_process(2, life=Life.GONE, pid=None),
        ERROR,
        Cause.ACTOR_DOWN,
        "worker-2 does not run, while the host of the ring's processes does; its last entry on the ledger is 30 s old.",
        "tail ring/logs/worker-2.log",
    ),
    "worker down without a host": (
        all_of(with_process(2, life=Life.GONE, pid=None), lambda snapshot: replace(snapshot, host=None)),
        ERROR,
        Cause.ACTOR_DOWN,
        "worker-2 does not run; ",
        "deepring run ring/worker-2 --deployment ring/deployment.toml",
    ),
    "all down": (
        nobody(Life.GONE),
        ERROR,
        Cause.ACTOR_DOWN,
        "All of the ring's processes are gone",
        f"deepring up --ring ring --rpc {URL}",
    ),
    "all stopped": (nobody(Life.ELSEWHERE), WARNING, Cause.ACTOR_DOWN, "None of the ring's processes", "deepring up"),
    "worker elsewhere that is awaited": (
        all_of(with_process(2, life=Life.ELSEWHERE, pid=None), with_query(since=NOW - 20)),
        ERROR,
        Cause.ACTOR_DOWN,
        "worker-2 does not run here, and the ring waits for it",
        "deepring run ring/worker-2",
    ),
    "worker elsewhere that does not attest": (
        all_of(
            with_process(1, life=Life.ELSEWHERE, pid=None),
            with_part("ring", mode=RingMode.ATTESTING, seats=unattested(1), waiting=()),
        ),
        ERROR,
        Cause.ACTOR_DOWN,
        "worker-1 does not run here",
        "deepring run ring/worker-1",
    ),
    "worker stopped": (
        with_process(3, life=Life.STALLED, seconds_since_poll=None),
        ERROR,
        Cause.ACTOR_STALLED,
        "worker-3 (process 100) runs and does not answer",
        "kill -9 100    # its host starts it again",
    ),
    "worker blind": (
        with_process(3, life=Life.STALLED, seconds_since_poll=300.0, doing="post"),
        ERROR,
        Cause.ACTOR_STALLED,
        "has not seen the chain for 5 min, busy with phase post",
        "kill -9 100",
    ),
    "worker in trouble": (
        with_process(1, troubles=("query 7: the disk is full",)),
        WARNING,
        Cause.ACTOR_IN_TROUBLE,
        "worker-1 says of query 7: the disk is full.",
        "tail ring/logs/worker-1.log",
    ),
    "out of funds": (
        with_actor(2, account=AccountFacts(10**12, 5, 5)),
        ERROR,
        Cause.OUT_OF_FUNDS,
        "has 0.000001 ether, and an entry may take 0.00043 ether",
        "deepring fund --ring ring",
    ),
    "low on funds": (
        with_actor(2, account=AccountFacts(43 * 10**14, 5, 5)),
        WARNING,
        Cause.OUT_OF_FUNDS,
        "enough for about 10 entries",
        "deepring fund --ring ring",
    ),
    "stuck transaction": (
        with_actor(2, account=AccountFacts(10**20, 5, 7)),
        WARNING,
        Cause.STUCK_TRANSACTION,
        "worker-2 has 2 transactions in the node's pool",
        "deepring status --ring ring",
    ),
    "store unreachable": (
        with_part("store", trouble="there is no store at file:///s"),
        ERROR,
        Cause.STORE_UNREACHABLE,
        "there is no store at file:///s",
        "bring the store back",
    ),
    "needed blob lost": (
        with_part("store", lost=(LostBlob(BLOB, "query 7: hop 1's envelope is missing", True),)),
        ERROR,
        Cause.BLOB_LOST,
        "Query 7: hop 1's envelope is missing in the store (blob 0001020304050607), and it is needed.",
        f"cp BACKUP/00/{BLOB.hex()} /s/00/",
    ),
    "past blobs lost": (
        with_part("store", lost=(LostBlob(BLOB, "query 1: x is missing", False),) * 3),
        WARNING,
        Cause.BLOB_LOST,
        "and 2 more: nobody waits",
        "cp BACKUP/",
    ),
    "key missing": (
        with_actor(1, bad_files={"sealing.pem": "is missing"}),
        ERROR,
        Cause.KEY_MISSING,
        "worker-1: its key sealing.pem is missing.",
        "cp BACKUP/worker-1/sealing.pem ring/worker-1/",
    ),
    "parameters missing": (
        with_actor(1, bad_files={"params.safetensors": "is missing"}),
        ERROR,
        Cause.FILE_MISSING,
        "worker-1: its file params.safetensors is missing.",
        "cp BACKUP/worker-1/params.safetensors",
    ),
    "tracking": (
        with_part("ring", mode=RingMode.TRACKING, is_restoring=True, waiting=()),
        ERROR,
        Cause.TRACKING,
        "a block does not hold its parameters, so no query moves; the ouroboros must order a restore.",
        "deepring run ring/ouroboros",
    ),
    "restore awaited": (
        with_part("ring", mode=RingMode.ATTESTING, is_restoring=True, waiting=(), seats=unattested(2, restores=1)),
        ERROR,
        Cause.TRACKING,
        "the restore of seat 2 (worker-2) is ordered, and its attestation awaited",
        "deepring trail",
    ),
    "hop overdue": (
        with_query(deadline=NOW - 14),
        ERROR,
        Cause.DEADLINE_PASSED,
        "Query 7: hop 2 (worker-2) was due 14 s ago.",
        "the ouroboros runs, and ends the attempt within 60 s",
    ),
    "hop overdue whose signer is hidden": (
        with_query(deadline=NOW - 14, whom=()),
        ERROR,
        Cause.DEADLINE_PASSED,
        "Query 7: hop 2 was due 14 s ago.",
        "deepring status",
    ),
    "query overdue": (
        with_query(withdraw_after=NOW - 130),
        ERROR,
        Cause.DEADLINE_PASSED,
        "Query 7 is still waiting for hop 2 of 3, by worker-2, 2 min after its querent could first give it up.",
        "deepring withdraw 7 --ring ring",
    ),
    "chain's clock ahead": (
        with_part("node", pending_time=NOW + 31),
        WARNING,
        Cause.CLOCK_SKEW,
        "The chain's clock is 31 s ahead of this machine's",
        "timedatectl",
    ),
    "chain's clock behind": (
        with_part("node", pending_time=NOW - 31),
        WARNING,
        Cause.CLOCK_SKEW,
        "31 s behind",
        "timedatectl",
    ),
}


def only(snapshot: Snapshot) -> Finding:
    (finding,) = diagnose(snapshot)
    return finding


def test_nothing_is_found_in_a_ring_that_is_well() -> None:
    assert diagnose(well()) == []


@pytest.mark.parametrize("case", TABLE)
def test_one_cause_is_named_alone_with_what_mends_it(case: str) -> None:
    change, severity, cause, sentence, mend = TABLE[case]
    finding = only(change(well()))
    assert (finding.severity, finding.cause) == (severity, cause)
    assert sentence in finding.sentence
    assert finding.sentence.endswith(".")
    assert mend in finding.mend


def test_ring_on_a_stopped_node_of_others_is_never_told_to_deploy_elsewhere() -> None:
    """Without --rpc, `deepring up` would start a devnet and deploy another ledger, and queries would be lost."""
    gone = all_of(unreachable(is_silent=False), nobody(Life.GONE))
    mends = [finding.mend for finding in diagnose(gone(well()))]
    assert len(mends) == 2
    assert all(f"--rpc {URL}" in mend for mend in mends if "deepring up" in mend)
    own = diagnose(all_of(gone, with_part("target", is_own_devnet=True))(well()))
    assert [finding.mend.partition("    #")[0] for finding in own] == ["deepring up --ring ring"] * 2


def test_every_cause_is_in_the_table() -> None:
    assert {cause for _, _, cause, _, _ in TABLE.values()} == set(Cause)


def test_overdue_hop_with_a_dead_ouroboros_names_the_command_that_starts_it() -> None:
    change = all_of(with_query(deadline=NOW - 14, whom=()), with_process(0, life=Life.GONE, pid=None))
    mends = {finding.cause: finding.mend for finding in diagnose(change(well()))}
    assert mends[Cause.DEADLINE_PASSED].startswith("deepring run ring/ouroboros --deployment ring/deployment.toml")


def test_idle_chain_whose_last_block_is_old_has_no_skew() -> None:
    assert diagnose(with_part("node", pending_time=None, head_time=NOW - 9000)(well())) == []
    assert only(with_part("node", pending_time=None, head_time=NOW + 40)(well())).cause is Cause.CLOCK_SKEW


def test_worker_elsewhere_that_nobody_waits_for_is_no_finding() -> None:
    assert diagnose(with_process(3, life=Life.ELSEWHERE, pid=None)(well())) == []


def test_running_actors_words_are_left_out_where_the_store_explains_them() -> None:
    trouble = with_process(1, troubles=("query 7: blob is not in the store",))
    change = all_of(trouble, with_part("store", trouble="there is no store"))
    assert only(change(well())).cause is Cause.STORE_UNREACHABLE


def test_errors_come_before_warnings() -> None:
    change = all_of(with_actor(0, account=AccountFacts(10**20, 1, 2)), with_query(deadline=NOW - 1))
    assert [finding.severity for finding in diagnose(change(well()))] == [ERROR, WARNING]


def test_addresses_alone_without_a_folder_are_judged() -> None:
    target = Target(rpc_url=URL, ledger=LEDGER)
    snapshot = replace(well(), target=target, host=None, actors=(), store=None)
    assert diagnose(snapshot) == []
    assert (
        only(unreachable(is_silent=False)(snapshot)).mend
        == "start that node again, or name another one of the same chain with --rpc"
    )


def test_real_chain_asks_for_ether_and_not_for_a_devnets() -> None:
    change = all_of(
        with_part("node", chain_id=1),
        with_part("target", chain_id=1),
        with_actor(2, account=AccountFacts(1, 5, 5)),
    )
    finding = only(change(well()))
    assert finding.mend == f"send ether to {ADDRESSES[2]} on chain 1"
    assert "less than 0.000001 ether" in finding.sentence
