"""`postRuns`: several hops in one call, of one query or of many; all of them, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.signing import message_digest, sign_message
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.protocol.trail import extend_trail
from deepring_chain.types import ZERO, Digest, Domain, Hop, QueryPhase, RingMode, SignedUpdate
from tests.chain.calls import Struct, run_struct, runs_call
from tests.chain.clock import Clock
from tests.chain.expect import refused, refused_state
from tests.chain.names import address_of, named
from tests.chain.query_driver import settle
from tests.chain.ring_driver import ScriptedQuery, ScriptedRing

HOP_SECONDS = 60


def post_runs(query: ScriptedQuery, *runs: Struct) -> Any:
    """Through an account that has nothing to do with the hops."""
    return query.ring.ledger.send(query.ring.owner, runs_call(*runs))


@pytest.mark.parametrize(("first", "end"), [(0, 1), (0, 2), (0, 4), (1, 2), (1, 3), (2, 4), (3, 4)])
def test_run_is_recorded_as_the_same_hops_one_by_one(query: ScriptedQuery, first: int, end: int) -> None:
    state, trail = query.advance(first).state, query.trail
    signers, updates = query.signers[first:end], query.sign_run(end)
    receipt = post_runs(query, run_struct(state, updates))
    expected = []
    for signed, signer in zip(updates, signers, strict=True):
        trail = extend_trail(trail, message_digest(query.domain, signed.update), address_of(signer))
        expected.append(UpdatePosted(signed, address_of(signer), trail))
    assert query.ring.ledger.events(receipt) == expected
    assert len(receipt["logs"]) == 1
    phase = QueryPhase.COMPUTED if end == 4 else QueryPhase.ROUTED
    assert query.place == (phase, 1, end, query.links[end], query.output(end), query.trail)
    assert query.state.touched_at == (0 if end == 4 else query.ring.ledger.time_of(receipt))
    query.advance(4).deliver()
    assert query.state.phase is QueryPhase.DELIVERED


def test_anyone_may_carry_a_run(query: ScriptedQuery, mallory: LocalAccount) -> None:
    state = query.state
    query.ring.ledger.by(mallory).post(state, *query.sign_run())
    assert query.state.phase is QueryPhase.COMPUTED


def test_runs_of_several_queries_go_in_one_call(ring: ScriptedRing, querent: LocalAccount) -> None:
    queries = [ring.submit(querent).open_route().advance(hop) for hop in (0, 3, 1, 2)]
    receipt = settle(*queries)
    assert len(receipt["logs"]) == 4
    assert [query.state.phase for query in queries] == [QueryPhase.COMPUTED] * 4
    assert [query.state.trail for query in queries] == [query.trail for query in queries]


def test_runs_of_one_query_follow_each_other_in_one_call(query: ScriptedQuery, clock: Clock) -> None:
    first = run_struct(query.state, query.sign_run(2))
    trail, rest = query.trail, query.sign_run()
    second = run_struct(query.state, rest)
    second["place"] = {"attempt": 1, "hop": 2, "items": query.items, "touchedAt": clock.now, "trail": trail}
    post_runs(query, first, second)
    assert query.state.phase is QueryPhase.COMPUTED
    assert query.state.trail == query.trail


def test_call_without_runs_does_nothing(query: ScriptedQuery) -> None:
    before = query.state
    assert list(post_runs(query)["logs"]) == []
    assert query.state == before


# ------------------------------------------------------------------ what was signed otherwise


def sign_hops(query: ScriptedQuery, changes: dict[int, dict[str, Any]]) -> list[SignedUpdate]:
    """Updates of all hops, some of them with other content, each over the history with those before it."""
    updates = []
    while query.hop < len(query.signers):
        signed, signer = query.sign(query.update(**changes.get(query.hop, {}))), address_of(query.signer)
        query.trail = extend_trail(query.trail, message_digest(query.domain, signed.update), signer)
        query.hop = Hop(query.hop + 1)
        updates.append(signed)
    return updates


@pytest.mark.parametrize("hop", range(4))
@pytest.mark.parametrize("who", ["mallory", "the owner", "a worker of another layer"])
def test_wrong_signer_inside_a_run_is_refused(query: ScriptedQuery, mallory: LocalAccount, hop: int, who: str) -> None:
    """All others sign over the history with the stranger in it."""
    strangers = {"mallory": mallory, "the owner": query.signers[0], "a worker of another layer": query.signers[hop - 1]}
    state, signers = query.state, list(query.signers)
    if strangers[who] is signers[hop]:
        strangers[who] = mallory
    signers[hop] = strangers[who]
    query.signers = tuple(signers)
    with refused_state(query):
        post_runs(query, run_struct(state, sign_hops(query, {})))


def test_workers_in_another_order_are_refused(query: ScriptedQuery) -> None:
    """They agreed among themselves; each opens its own link."""
    state, (owner, one, two, three) = query.state, query.signers
    query.signers = (owner, two, one, three)
    query.salts[1], query.salts[2] = query.salts[2], query.salts[1]
    with refused_state(query):
        post_runs(query, run_struct(state, sign_hops(query, {})))


@pytest.mark.parametrize("hop", range(1, 4))
def test_contradiction_inside_a_run_is_refused(query: ScriptedQuery, hop: int) -> None:
    """What a hop signed for is taken for the expected output: a hop that signed for another one signed nothing."""
    state = query.state
    updates = sign_hops(query, {hop: {"output": named("another output")}})
    with refused_state(query):
        post_runs(query, run_struct(state, updates))


@pytest.mark.parametrize("hop", range(4))
@pytest.mark.parametrize(
    "changes",
    [{"attempt": 2}, {"hop": Hop(7)}, {"query": 9}, {"trail": named("another trail")}],
    ids=lambda changes: next(iter(changes)),
)
def test_hop_signed_for_another_place_is_refused_in_a_run(
    query: ScriptedQuery, hop: int, changes: dict[str, Any]
) -> None:
    state = query.state
    run = run_struct(state, sign_hops(query, {hop: changes}))
    run |= {"query": query.query, "place": state.place()}
    with refused_state(query):
        post_runs(query, run)


def test_run_signed_for_another_ledger_is_refused(query: ScriptedQuery) -> None:
    state, elsewhere = query.state, Domain(query.domain.chain_id + 1, query.domain.ledger)
    updates = [
        replace(signed, signature=sign_message(signer, elsewhere, signed.update))
        for signed, signer in zip(query.sign_run(), query.signers, strict=True)
    ]
    with refused_state(query):
        post_runs(query, run_struct(state, updates))


# ------------------------------------------------------------------ what was changed after signing

Change = Callable[[Struct], object]


def change_entry(index: int, name: str, value: Digest) -> Change:
    """Changes a field of an entry."""
    return lambda run: run["entries"][index].update({name: value})


def exchange(run: Struct, index: int) -> None:
    """Exchanges an entry with the next."""
    entries = run["entries"]
    entries[index], entries[index + 1] = entries[index + 1], entries[index]


FORGERIES: dict[str, Change] = {
    **{
        f"{name} of entry {index}": change_entry(index, name, named("changed"))
        for name in ("envelope", "nextOutput", "salt")
        for index in range(3)
    },
    "no salt": change_entry(1, "salt", ZERO),
    "output": lambda run: run.update(output=named("changed")),
    "rest": lambda run: run.update(rest=named("changed")),
    "no rest": lambda run: run.update(rest=ZERO),
    "first entry left out": lambda run: run["entries"].pop(0),
    "entry left out": lambda run: run["entries"].pop(1),
    "last entry left out": lambda run: run["entries"].pop(),
    "entry twice": lambda run: run["entries"].insert(1, run["entries"][1]),
    "entries exchanged": lambda run: exchange(run, 0),
    "last entries exchanged": lambda run: exchange(run, 1),
    "signatures exchanged": lambda run: run["entries"][0].update({k: run["entries"][1][k] for k in ("r", "vs")}),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_run_changed_after_signing_is_refused(query: ScriptedQuery, how: str) -> None:
    run = run_struct(query.state, query.sign_run(3))
    FORGERIES[how](run)
    with refused_state(query):
        post_runs(query, run)


@pytest.mark.parametrize("index", range(3))
def test_signature_of_nobody_inside_a_run_is_refused(query: ScriptedQuery, index: int) -> None:
    run = run_struct(query.state, query.sign_run(3))
    run["entries"][index]["r"] = ZERO
    with refused("ECDSAInvalidSignature"):
        post_runs(query, run)


# ------------------------------------------------------------------ when and how long


def test_empty_run_is_refused(query: ScriptedQuery) -> None:
    run = {**run_struct(query.state, query.sign_run(1)), "entries": []}
    with refused("UnexpectedLength", query=1, hops=4, end=0):
        post_runs(query, run)


@pytest.mark.parametrize(("hop", "length", "end"), [(0, 5, 5), (2, 3, 5), (3, 2, 5), (0, 40, 40)])
def test_run_beyond_the_last_hop_is_refused(query: ScriptedQuery, hop: int, length: int, end: int) -> None:
    run = run_struct(query.advance(hop).state, query.sign_run())
    run["entries"] += [run["entries"][-1]] * (length - len(run["entries"]))
    with refused("UnexpectedLength", query=1, hops=4, end=end):
        post_runs(query, run)


@pytest.mark.parametrize("hop", [4, 65_535])
def test_run_from_beyond_the_last_hop_is_refused(query: ScriptedQuery, hop: int) -> None:
    run = run_struct(query.state, query.sign_run(1))
    run["place"]["hop"] = hop
    with refused("UnexpectedLength", query=1, hops=4, end=hop + 1):
        post_runs(query, run)


@pytest.mark.parametrize("bad", range(3))
def test_one_refused_run_takes_back_all_others(ring: ScriptedRing, querent: LocalAccount, bad: int) -> None:
    queries = [ring.submit(querent).open_route() for _ in range(3)]
    runs = [run_struct(query.state, query.sign_run()) for query in queries]
    runs[bad]["entries"][2]["salt"] = named("changed")
    with refused_state(queries[bad], *queries):
        post_runs(queries[0], *runs)


def test_run_posted_again_is_refused(query: ScriptedQuery) -> None:
    run = run_struct(query.state, query.sign_run(3))
    post_runs(query, run)
    with refused_state(query):
        post_runs(query, run)


def test_run_posted_twice_in_one_call_is_refused(query: ScriptedQuery) -> None:
    run = run_struct(query.state, query.sign_run(3))
    with pytest.raises(LedgerReverted, match="UnexpectedState"):
        post_runs(query, run, run)
    assert query.state.hop == 0


def test_run_of_one_query_is_refused_in_another(ring: ScriptedRing, querent: LocalAccount) -> None:
    first, second = (ring.submit(querent).open_route() for _ in range(2))
    run = run_struct(first.state, first.sign_run())
    for place in (first.state.place(), second.state.place()):
        with refused_state(second, first):
            post_runs(first, {**run, "query": second.query, "place": place})


def test_run_whose_hop_was_posted_meanwhile_is_refused(query: ScriptedQuery) -> None:
    """Mallory posts the first hop of a run that she sees: the rest of it is posted then."""
    state, updates = query.state, query.sign_run()
    run = run_struct(state, updates)
    query.carry(updates[0], state=state)
    with refused_state(query):
        post_runs(query, run)
    post_runs(query, run_struct(query.state, updates[1:]))
    assert query.state.phase is QueryPhase.COMPUTED


def test_run_at_the_deadline_is_accepted_and_one_after_it_refused(
    ring: ScriptedRing, querent: LocalAccount, clock: Clock
) -> None:
    punctual, late = (ring.submit(querent).open_route() for _ in range(2))
    runs = [run_struct(query.state, query.sign_run()) for query in (punctual, late)]
    deadline = clock.now + HOP_SECONDS
    clock.advance(HOP_SECONDS)
    post_runs(punctual, runs[0])
    clock.advance(1)
    with refused("DeadlinePassed", query=2, hop=0, deadline=deadline, time=deadline + 1):
        post_runs(late, runs[1])


def test_run_is_refused_while_the_ring_is_not_authentic(query: ScriptedQuery) -> None:
    run = run_struct(query.state, query.sign_run())
    query.ring.tamper(2)
    with refused("NotAuthentic", arrangement=2, mode=RingMode.TRACKING):
        post_runs(query, run)
