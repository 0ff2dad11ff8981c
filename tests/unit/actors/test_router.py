"""Where a query goes on after a fault, on whose output, and whom the fault counts against."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from deepring_chain.actors.ouroboros.arranger import Arranger
from deepring_chain.actors.ouroboros.inputs import QueryInputs
from deepring_chain.actors.ouroboros.ouroboros import Ouroboros
from deepring_chain.actors.ouroboros.router import Router
from deepring_chain.actors.ouroboros.tracker import Tracker
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.attacks.lab_worker import LabWorker
from deepring_chain.attacks.orders import LabOrder, Lie, give_order
from deepring_chain.crypto.signing import sign_message
from deepring_chain.errors import ConfigError
from deepring_chain.protocol.draws import RouteDraw
from deepring_chain.protocol.events import RouteOpened, UpdatePosted, WorkerAdmitted
from deepring_chain.protocol.roster import Roster
from deepring_chain.protocol.session import Fault, FaultKind, Session
from deepring_chain.types import (
    NO_BLOB,
    NO_ROUTE,
    ZERO,
    Address,
    Attempt,
    Digest,
    Hop,
    QueryId,
    SignedUpdate,
    TrailHash,
    Update,
)
from tests.unit.actors.fake_ledger import DOMAIN
from tests.unit.actors.fake_ring import CPU, IMAGES, FakeRing, ask_up_to, client_of, make_keys, session_of


def opened(ring: FakeRing, query: QueryId) -> list[int]:
    """The first hop of each attempt."""
    events = [entry.event for entry in ring.ledger.logged if isinstance(entry.event, RouteOpened)]
    return [event.first_hop for event in events if event.query == query]


def executed(ring: FakeRing, query: QueryId) -> list[tuple[int, int]]:
    """Attempt and hop of each update on the trail."""
    updates = [entry.event.signed.update for entry in ring.ledger.logged if isinstance(entry.event, UpdatePosted)]
    return [(update.attempt, update.hop) for update in updates if update.query == query]


def add_standby(ring: FakeRing, layer: int) -> Worker:
    """A second worker for a layer, which joins the ring as its fifth member."""
    keys = make_keys(20 + layer)
    ring.ledger.emit(WorkerAdmitted(keys.address, keys.sealing_public))
    ring.members.append(ring._member(20 + layer, keys))
    candidates: dict[int, tuple[Address, ...]] = {index: (ring.members[index].keys.address,) for index in (1, 2, 3)}
    candidates[layer] = (*candidates[layer], keys.address)
    member, owner = ring.members[0], ring.ouroboros._owner
    roster = Roster(member.keys.address, candidates)
    inputs = QueryInputs(member, owner)
    router = Router(member, roster, inputs)
    arranger = Arranger(member, owner, roster, 1, router.failures, ring.folder / "0", ring._clock)
    tracker = Tracker(member, owner, roster, arranger, ring._clock)
    ring.ouroboros = Ouroboros(member, owner, inputs, router, arranger, tracker, ring._clock)
    standby = Worker(ring.members[-1], ring.blocks[layer - 1], CPU)
    ring.workers.append(standby)
    return standby


def time_out(ring: FakeRing) -> None:
    """The hop that is due is not posted in time."""
    ring.step(0)
    ring.now += client_of(ring.members[0]).hop_seconds + 1
    ring.step(0)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_silent_hop_alone_is_asked_again(ring: FakeRing, layer: int) -> None:
    query = ask_up_to(ring, layer)
    time_out(ring)
    ring.settle()
    assert opened(ring, query) == [0, layer]
    assert executed(ring, query) == [(1, hop) for hop in range(layer)] + [(2, hop) for hop in range(layer, 4)]


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_hop_before_a_replaced_worker_seals_its_envelope_anew(ring: FakeRing, layer: int) -> None:
    add_standby(ring, layer)
    query = ask_up_to(ring, layer)
    time_out(ring)
    ring.settle(layer)
    assert opened(ring, query) == [0, layer - 1]
    redone = [(2, hop) for hop in range(layer - 1, 4)]
    assert executed(ring, query) == [(1, hop) for hop in range(layer)] + redone
    current = ring.ledger.state.arrangement
    assert current is not None
    assert ring.members[-1].keys.address in current.arranged.seats
    result = ring.querent.wait(query, 0, lambda _s, _m: None)
    assert result.output == ring.model.run(ring.model.card.quantise_input(IMAGES))


def test_hop_whose_envelope_is_lost_for_good_is_made_again(ring: FakeRing) -> None:
    query = ask_up_to(ring, 3)
    envelope = session_of(ring, query).updates[Hop(2)].signed.update.envelope
    time_out(ring)
    next((ring.folder / "store").rglob(envelope.hex())).unlink()
    ring.settle()
    assert opened(ring, query) == [0, 2]


def test_all_envelopes_lost_begins_at_the_input(ring: FakeRing) -> None:
    query = ask_up_to(ring, 3)
    envelopes = [posted.signed.update.envelope for posted in session_of(ring, query).updates.values()]
    time_out(ring)
    for envelope in envelopes:
        next((ring.folder / "store").rglob(envelope.hex())).unlink()
    ring.settle()
    assert opened(ring, query) == [0, 0]


def test_guilty_senders_hop_is_made_again_and_a_guilty_receivers_is_too(ring: FakeRing) -> None:
    """A receiver that complained of a good envelope may have lost its key: the envelope is sealed to it anew."""
    for layer, lie, first in ((2, Lie.ECHO, 2), (2, Lie.FALSE_COMPLAINT, 1), (1, Lie.BOGUS_NEXT, 1)):
        ring.settle()
        ring.replace_worker(layer, LabWorker)
        give_order(ring.blocks[layer - 1].folder, LabOrder(lie))
        query = ring.ask()
        ring.settle()
        assert opened(ring, query) == [0, first], lie


def test_draw_that_the_journal_lost_is_asked_back_in_one_line(ring: FakeRing) -> None:
    query = ask_up_to(ring, 2)
    journal = ring.members[0].journal
    for key in journal.keys("route/"):
        journal.forget(key)
    with pytest.raises(ConfigError, match="no route for attempt 1; restore the ouroboros's folder"):
        ring.ouroboros._router.draw_of(session_of(ring, query))


# ---------------------------------------------------------------- whom a fault counts against


def failures_of(ring: FakeRing, *faults: Fault, attempt: int = 1) -> dict[int, int]:
    """Strikes by layer, for a session with these faults whose first attempt ran to the end."""
    ring.settle()
    query = ring.ask()
    ring.settle()
    session = session_of(ring, query)
    ring.members[0].state.sessions.clear()
    ring.members[0].state.sessions[query] = replace(session, faults=faults, attempt=Attempt(attempt))
    found = ring.ouroboros._router.failures()
    return {
        layer: found[member.keys.address] for layer, member in enumerate(ring.members) if member.keys.address in found
    }


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_counts_against_the_worker_of_its_hop(ring: FakeRing, kind: FaultKind) -> None:
    assert failures_of(ring, Fault(Attempt(1), Hop(2), kind)) == {2: 1}


def test_faults_add_up(ring: FakeRing) -> None:
    faults = [Fault(Attempt(1), Hop(hop), FaultKind.GUILTY) for hop in (1, 3, 3)]
    assert failures_of(ring, *faults) == {1: 1, 3: 2}


def test_fault_of_the_delivery_counts_against_nobody(ring: FakeRing) -> None:
    assert failures_of(ring, Fault(Attempt(1), Hop(4), FaultKind.UNSETTLED)) == {}


def test_fault_before_the_attempts_first_hop_counts_against_who_signed_it(ring: FakeRing) -> None:
    """Worker 1 signs hop 1 and is replaced; then its announcement proves false. The one in its place is innocent."""
    ring.settle()
    query = ring.ask()
    ring.settle()
    session = session_of(ring, query)
    standby = make_keys(21)
    member = ring.members[0]
    first = ring.ouroboros._router.draw_of(session)
    signers = (first.signers[0], standby.address, *first.signers[2:])
    draw = RouteDraw(Hop(2), signers, first.keys, first.salts[2:], first.commitment_key, NO_BLOB)
    arrangement = session.arrangements[Attempt(1)]
    member.journal.record_once(f"route/{query}/2/{arrangement}/{session.sealed_input.hex()}", draw.encode)
    later = replace(
        session,
        attempt=Attempt(2),
        arrangements=MappingProxyType({**session.arrangements, Attempt(2): arrangement}),
        faults=(
            Fault(Attempt(2), Hop(1), FaultKind.GUILTY, session.updates[Hop(1)].signer),
            Fault(Attempt(2), Hop(2), FaultKind.GUILTY),
        ),
        history=(*session.history, again(later_than=session, by=21)),
    )
    member.state.sessions[query] = later
    found = ring.ouroboros._router.failures()
    assert found[ring.members[1].keys.address] == 1
    assert found[ring.members[2].keys.address] == 1
    assert standby.address not in found


def again(later_than: Session, by: int) -> UpdatePosted:
    """Hop 1 once more in a third attempt, by somebody else."""
    keys = make_keys(by)
    before = later_than.updates[Hop(1)].signed.update
    update = Update(
        before.query, Attempt(3), Hop(1), before.items, NO_BLOB, before.output, before.next_output, later_than.trail
    )
    signature = sign_message(keys.account, DOMAIN, update)
    return UpdatePosted(SignedUpdate(update, signature, ZERO, NO_ROUTE), keys.address, TrailHash(Digest(bytes(32))))
