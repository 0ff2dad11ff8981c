"""What each function does in each mode of the ring: only query mode lets queries move."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.types import QueryPhase, RingMode
from tests.chain.clock import Clock
from tests.chain.expect import refused, refused_state
from tests.chain.ring_driver import ScriptedQuery, ScriptedRing, named


def to_setup(ring: ScriptedRing) -> None:
    ring.register_model("better model")


def to_attesting(ring: ScriptedRing) -> None:
    ring.arrange()


def to_nearly_attested(ring: ScriptedRing) -> None:
    ring.arrange()
    ring.attest(0, 1, 2)


def to_tracking(ring: ScriptedRing) -> None:
    ring.arrange(recorded_hash=named("not what the leaves give"))
    ring.attest(0, 1, 2, 3)


def stay(ring: ScriptedRing) -> None:
    pass


Step = Callable[[ScriptedRing], None]
MODES: dict[str, tuple[RingMode, Step]] = {
    "setup": (RingMode.SETUP, to_setup),
    "attesting": (RingMode.ATTESTING, to_attesting),
    "one leaf missing": (RingMode.ATTESTING, to_nearly_attested),
    "query": (RingMode.QUERY, stay),
    "tracking": (RingMode.TRACKING, to_tracking),
}
EVERY_MODE = pytest.mark.parametrize("where", MODES)


def bring(ring: ScriptedRing, where: str) -> RingMode:
    mode, step = MODES[where]
    step(ring)
    assert ring.ledger.mode() is mode
    return mode


def only_in_query_mode(ring: ScriptedRing, mode: RingMode) -> AbstractContextManager[None]:
    if mode is RingMode.QUERY:
        return nullcontext()
    return refused("NotAuthentic", arrangement=ring.arrangement, mode=mode)


@EVERY_MODE
def test_model_is_registered_in_every_mode(ring: ScriptedRing, where: str) -> None:
    bring(ring, where)
    assert ring.register_model("another")["status"] == 1
    assert ring.ledger.mode() is RingMode.SETUP


@EVERY_MODE
def test_worker_is_admitted_in_every_mode(ring: ScriptedRing, where: str) -> None:
    mode = bring(ring, where)
    assert ring.admit()["status"] == 1
    assert ring.ledger.mode() is mode


@EVERY_MODE
def test_ring_is_arranged_in_every_mode(ring: ScriptedRing, where: str) -> None:
    bring(ring, where)
    ring.arrange()
    assert ring.ledger.mode() is RingMode.ATTESTING


@EVERY_MODE
def test_query_is_taken_in_every_mode(ring: ScriptedRing, querent: LocalAccount, where: str) -> None:
    bring(ring, where)
    assert ring.submit(querent).state.phase == QueryPhase.SUBMITTED


@EVERY_MODE
def test_query_is_rejected_in_every_mode(ring: ScriptedRing, querent: LocalAccount, where: str) -> None:
    query = ring.submit(querent)
    bring(ring, where)
    query.reject()
    assert query.state.phase == QueryPhase.REJECTED


@EVERY_MODE
def test_route_is_opened_in_query_mode_only(ring: ScriptedRing, querent: LocalAccount, where: str) -> None:
    query = ring.submit(querent)
    mode = bring(ring, where)
    with only_in_query_mode(ring, mode):
        query.open_route()
    assert query.state.phase == (QueryPhase.ROUTED if mode is RingMode.QUERY else QueryPhase.SUBMITTED)


@EVERY_MODE
@pytest.mark.parametrize("hop", [0, 2, 3])
def test_update_is_taken_in_query_mode_only(query: ScriptedQuery, hop: int, where: str) -> None:
    query.advance(hop)
    mode = bring(query.ring, where)
    with only_in_query_mode(query.ring, mode):
        query.post()
    assert query.state.hop == (hop + 1 if mode is RingMode.QUERY else hop)


@EVERY_MODE
def test_delivery_is_taken_in_query_mode_only(query: ScriptedQuery, where: str) -> None:
    query.advance(4)
    mode = bring(query.ring, where)
    with only_in_query_mode(query.ring, mode):
        query.deliver()
    assert query.state.phase == (QueryPhase.DELIVERED if mode is RingMode.QUERY else QueryPhase.COMPUTED)


@EVERY_MODE
def test_route_is_resumed_in_query_mode_only(query: ScriptedQuery, where: str) -> None:
    query.advance(2).complain()
    query.judge()
    mode = bring(query.ring, where)
    with only_in_query_mode(query.ring, mode):
        query.resume(2)
    assert query.state.phase == (QueryPhase.ROUTED if mode is RingMode.QUERY else QueryPhase.INTERRUPTED)


@EVERY_MODE
def test_hop_times_out_in_query_mode_only(query: ScriptedQuery, clock: Clock, where: str) -> None:
    mode = bring(query.ring, where)
    with only_in_query_mode(query.ring, mode):
        query.let_time_out()
    assert query.state.phase == (QueryPhase.INTERRUPTED if mode is RingMode.QUERY else QueryPhase.ROUTED)


@EVERY_MODE
def test_dispute_is_opened_and_judged_in_every_mode(query: ScriptedQuery, where: str) -> None:
    query.advance(2)
    bring(query.ring, where)
    query.complain()
    phases = [query.state.phase]
    query.judge()
    phases.append(query.state.phase)
    assert phases == [QueryPhase.DISPUTED, QueryPhase.INTERRUPTED]


@EVERY_MODE
def test_query_is_withdrawn_in_every_mode(query: ScriptedQuery, clock: Clock, where: str) -> None:
    bring(query.ring, where)
    query.wait_and_withdraw()
    assert query.state.phase == QueryPhase.WITHDRAWN


@EVERY_MODE
def test_restore_is_ordered_in_tracking_mode_only(ring: ScriptedRing, where: str) -> None:
    mode = bring(ring, where)
    if mode is RingMode.TRACKING:
        ring.tamper(2).order_restore(2)
        assert ring.ledger.mode() is RingMode.ATTESTING
        return
    with refused("NotTracking", arrangement=ring.arrangement, mode=mode):
        ring.order_restore(2)
    assert ring.ledger.mode() is mode


@pytest.mark.parametrize("where", ["attesting", "one leaf missing", "tracking"])
def test_waiting_queries_go_on_when_the_ring_is_authentic_again(
    ring: ScriptedRing, querent: LocalAccount, where: str
) -> None:
    waiting, routed, computed = (ring.submit(querent) for _ in range(3))
    routed.open_route().advance(2)
    computed.compute()
    bring(ring, where)
    ring.arrange()
    ring.attest(3, 1, 2, 0)
    waiting.compute().deliver()
    routed.advance(4).deliver()
    computed.deliver()
    assert [query.state.phase for query in (waiting, routed, computed)] == [QueryPhase.DELIVERED] * 3


def test_queries_begin_anew_under_another_model(ring: ScriptedRing, querent: LocalAccount, clock: Clock) -> None:
    """What the old one computed is delivered no more; a hop's deadline or a complaint makes way for another attempt."""
    waiting, routed, computed = (ring.submit(querent) for _ in range(3))
    routed.open_route().advance(2)
    computed.compute()
    to_setup(ring)
    assert ring.ledger.read("arrangement").authenticSince == 0
    ring.arrange()
    ring.attest(3, 1, 2, 0)
    with refused("ModelChanged", query=3, expected=2, actual=1):
        computed.deliver()
    computed.complain()
    computed.judge(sender_guilty=False)
    with refused_state(routed):
        routed.post()
    routed.let_time_out()
    for query in (routed, computed):
        query.reopen()
    waiting.open_route()
    for query in (waiting, routed, computed):
        query.advance(4).deliver()
    assert [query.state.phase for query in (waiting, routed, computed)] == [QueryPhase.DELIVERED] * 3
    assert [query.state.trail for query in (waiting, routed, computed)] == [
        query.trail for query in (waiting, routed, computed)
    ]


@EVERY_MODE
def test_ring_is_authentic_in_query_mode_only(ring: ScriptedRing, where: str) -> None:
    """The time since when is what hops and deadlines go by: none is left over from another model."""
    mode = bring(ring, where)
    since = ring.ledger.read("arrangement").authenticSince
    assert (since != 0) == ring.ledger.read("isAuthentic") == (mode is RingMode.QUERY)


def test_ledger_without_arrangement_takes_queries_but_no_route(bare_ring: ScriptedRing, querent: LocalAccount) -> None:
    bare_ring.register_model()
    query = bare_ring.submit(querent)
    with refused("NotAuthentic", arrangement=0, mode=RingMode.SETUP):
        query.open_route()
