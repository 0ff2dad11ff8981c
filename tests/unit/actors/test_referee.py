"""The verdict names the liar, whoever it is and whatever it does, and nobody honest; it is the same after a restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from deepring_chain.actors.worker import hop as worker_module
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.attacks.lab_worker import LabWorker
from deepring_chain.attacks.orders import MEMORY_LIES, LabOrder, Lie, give_order
from deepring_chain.crypto.digest import commit_output, hop_key
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.errors import ChainError
from deepring_chain.model.layer import run_layer
from deepring_chain.protocol.decide.judging import GRACE_SECONDS
from deepring_chain.protocol.events import EnvelopeDisputed, RouteOpened, VerdictPosted
from deepring_chain.protocol.evidence import Evidence, open_shared
from deepring_chain.protocol.restore import verdict_context
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import FaultKind, Session
from deepring_chain.types import Hop, OutputCommitment, QueryId, QueryPhase, TensorBytes
from tests.unit.actors.fake_ledger import DOMAIN
from tests.unit.actors.fake_ring import IMAGES, FakeRing, ask_up_to, client_of, session_of

LIES = [lie for lie in Lie if lie not in {*MEMORY_LIES, Lie.SILENCE}]


def answer(ring: FakeRing, query: QueryId) -> TensorBytes:
    return ring.querent.wait(query, 0, lambda _session, _mode: None).output


def truth(ring: FakeRing) -> TensorBytes:
    return ring.model.run(ring.model.card.quantise_input(IMAGES))


def verdicts(ring: FakeRing) -> list[VerdictPosted]:
    return [entry.event for entry in ring.ledger.logged if isinstance(entry.event, VerdictPosted)]


def convictions(ring: FakeRing, query: QueryId) -> list[int]:
    """The hops that were found guilty, in order; any other fault fails the test."""
    faults = session_of(ring, query).faults
    assert {fault.kind for fault in faults} <= {FaultKind.GUILTY}
    return [fault.hop for fault in faults]


def settle_after_grace(ring: FakeRing) -> None:
    """Lets all act; what is awaited for a while is awaited in vain."""
    ring.settle()
    ring.now += GRACE_SECONDS + 0.1
    ring.settle()


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.value)
def test_every_lie_at_every_place_convicts_the_liar_alone(ring: FakeRing, layer: int, lie: Lie) -> None:
    ring.settle()
    ring.replace_worker(layer, LabWorker)
    give_order(ring.blocks[layer - 1].folder, LabOrder(lie, steps=60.0, seed=1))
    query = ring.ask()
    settle_after_grace(ring)
    assert convictions(ring, query) == [layer]
    assert answer(ring, query) == truth(ring)


# ---------------------------------------------------------------- the evidence


def dispute(ring: FakeRing, lie: Lie, layer: int = 2) -> QueryId:
    """A query that waits for its verdict."""
    ring.settle()
    ring.replace_worker(layer, LabWorker)
    give_order(ring.blocks[layer - 1].folder, LabOrder(lie))
    query = ring.ask()
    for _ in range(40):
        if session_of(ring, query).phase is QueryPhase.DISPUTED:
            return query
        for index in range(4):
            if session_of(ring, query).phase is not QueryPhase.DISPUTED:
                ring.step(index)
    raise AssertionError("no dispute")


def test_evidence_has_what_an_admitted_auditor_needs_to_repeat_the_verdict(ring: FakeRing) -> None:
    query = dispute(ring, Lie.PERTURBED_INPUT)
    ring.step(0)
    (posted,) = verdicts(ring)
    place = verdict_context(DOMAIN, query, posted.verdict.attempt, posted.verdict.hop)
    opened = open_shared(ring.members[0].keys.sealing, ring.store.get(posted.verdict.evidence), place)
    assert opened is not None
    evidence = Evidence.decode(opened)
    outputs = [ring.model.card.quantise_input(IMAGES)]
    for index in (1, 2):
        outputs.append(ring.ouroboros._owner.run_layer(index, outputs[-1]))
    assert (evidence.first_hop, list(evidence.outputs)) == (0, outputs)
    assert evidence.reason == "hop 2 committed to another output than its layer's"
    sender = session_of(ring, query).updates[Hop(1)].signed.update
    assert commit_output(hop_key(evidence.commitment_key, Hop(1)), outputs[1]) == sender.output
    assert commit_output(hop_key(evidence.commitment_key, Hop(2)), outputs[2]) == sender.next_output


def test_evidence_is_for_the_owner_and_the_auditors_that_it_admits(ring: FakeRing) -> None:
    auditor = X25519PrivateKey.generate()
    ring.ouroboros._referee._auditors = lambda: [public_bytes(auditor)]
    query = dispute(ring, Lie.PERTURBED_INPUT)
    ring.step(0)
    (posted,) = verdicts(ring)
    place = verdict_context(DOMAIN, query, posted.verdict.attempt, posted.verdict.hop)
    blob = ring.store.get(posted.verdict.evidence)
    assert [open_shared(member.keys.sealing, blob, place) for member in ring.members[1:]] == [None] * 3
    assert open_shared(auditor, blob, place) == open_shared(ring.members[0].keys.sealing, blob, place)


def test_verdict_that_was_signed_before_a_kill_is_the_one_that_is_posted(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = dispute(ring, Lie.ECHO)
    told: list[Any] = []

    def die(*arguments: Any) -> None:
        told.append(arguments)
        raise ChainError("killed")

    monkeypatch.setattr(client_of(ring.members[0]), "judge", die)
    ring.step(3)
    with pytest.raises(ChainError, match="killed"):
        ring.step(0)
    ring.restart(0)
    ring.step(0)
    (posted,) = verdicts(ring)
    assert (posted.verdict, posted.signature) == told[0][1:]
    assert session_of(ring, query).phase is QueryPhase.INTERRUPTED


def test_second_look_at_a_judged_query_posts_nothing(ring: FakeRing) -> None:
    query = dispute(ring, Lie.ECHO)
    ring.members[0].follower.refresh()
    session = session_of(ring, query)
    referee = ring.ouroboros._referee
    assert referee.act(session, 0.0)
    ring.ouroboros.lanes.run(session, lambda judged: referee.act(judged, 0.0))
    assert len(verdicts(ring)) == 1


# ---------------------------------------------------------------- missing envelopes


def test_missing_envelope_is_awaited_before_anybody_is_blamed(ring: FakeRing) -> None:
    query = dispute(ring, Lie.MISSING_BLOB)
    assert not ring.step(0)
    ring.now += GRACE_SECONDS - 0.01
    assert not ring.step(0)
    assert verdicts(ring) == []
    ring.now += 0.02
    assert ring.step(0)
    assert convictions(ring, query) == [2]


def test_wait_for_an_envelope_is_forgotten_with_its_query_and_not_before(ring: FakeRing) -> None:
    query = dispute(ring, Lie.MISSING_BLOB)
    ring.step(0)
    ring.step(0)
    assert [place[0] for place in ring.ouroboros._referee._since] == [query]
    settle_after_grace(ring)
    ring.step(0)
    assert session_of(ring, query).phase is QueryPhase.DELIVERED
    assert ring.ouroboros._referee._since == {}


def test_complaint_of_a_missing_envelope_that_is_there_convicts_nobody(ring: FakeRing) -> None:
    """A store may show a blob to one reader later than to another."""
    query = ask_up_to(ring, 2)
    envelope = session_of(ring, query).updates[Hop(1)].signed.update.envelope
    (path,) = (ring.folder / "store").rglob(envelope.hex())
    data = path.read_bytes()
    path.unlink()
    ring.step(2)
    path.write_bytes(data)
    assert ring.step(0)
    assert [fault.kind for fault in session_of(ring, query).faults] == [FaultKind.UNSETTLED]
    ring.settle()
    assert answer(ring, query) == truth(ring)


def test_damaged_envelope_counts_as_missing_and_its_sender_mends_it(ring: FakeRing) -> None:
    query = ask_up_to(ring, 2)
    envelope = session_of(ring, query).updates[Hop(1)].signed.update.envelope
    (path,) = (ring.folder / "store").rglob(envelope.hex())
    path.write_bytes(path.read_bytes()[:-1])
    settle_after_grace(ring)
    session = session_of(ring, query)
    assert isinstance(session.dispute, EnvelopeDisputed)
    assert FaultKind.GUILTY not in {fault.kind for fault in session.faults}
    assert answer(ring, query) == truth(ring)


# ---------------------------------------------------------------- colluders


def falsified(tensor: TensorBytes) -> TensorBytes:
    """All elements the other way round."""
    return replace(tensor, data=bytes(tensor.data)[::-1])


class Deceiver(Worker):
    """Commits to its layer's output, and announces a next output that its accomplice will produce."""

    def _commitments(
        self, note: RouteNote, output: TensorBytes, following: TensorBytes
    ) -> tuple[OutputCommitment, OutputCommitment]:
        return super()._commitments(note, output, falsified(following))


class Accomplice(Worker):
    """Sends on the announced false output, with commitments that fit it."""

    announces = staticmethod(lambda tensor: tensor)

    def _compute_hop(self, session: Session, note: RouteNote, received: TensorBytes, layers: Any) -> Any:
        falsifying = FalsifiedLayer(layers.own)
        return super()._compute_hop(session, note, received, replace(layers, own=falsifying))

    def _commitments(
        self, note: RouteNote, output: TensorBytes, following: TensorBytes
    ) -> tuple[OutputCommitment, OutputCommitment]:
        return super()._commitments(note, output, self.announces(following))


class Framer(Accomplice):
    """An accomplice that frames the honest worker after it."""

    announces = staticmethod(falsified)


class FalsifiedLayer:
    """A layer whose output is changed."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


@pytest.fixture
def falsifying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computes a falsified layer's output where one is given to the worker."""
    honest = run_layer

    def run(layer: Any, tensor: TensorBytes, device: Any) -> TensorBytes:
        if isinstance(layer, FalsifiedLayer):
            return falsified(honest(layer._layer, tensor, device))
        return honest(layer, tensor, device)

    monkeypatch.setattr(worker_module, "run_layer", run)


@pytest.mark.usefixtures("falsifying")
def test_false_output_with_fitting_commitments_is_caught_by_the_ledger(ring: FakeRing) -> None:
    """One false worker cannot agree with itself: the honest one before it has announced the true output."""
    query = ask_up_to(ring, 2)
    ring.replace_worker(2, Accomplice)
    ring.step(2)
    assert session_of(ring, query).phase is QueryPhase.DISPUTED
    ring.step(0)
    ring.replace_worker(2, Worker)
    ring.settle()
    assert convictions(ring, query) == [2]
    assert answer(ring, query) == truth(ring)


@pytest.mark.usefixtures("falsifying")
def test_announcement_that_an_honest_neighbor_does_not_keep_convicts_the_announcer(ring: FakeRing) -> None:
    query = ask_up_to(ring, 1)
    ring.replace_worker(1, Deceiver)
    ring.step(1)
    ring.step(2)
    ring.step(0)
    assert convictions(ring, query) == [1]


@pytest.mark.usefixtures("falsifying")
def test_two_adjacent_colluders_pass_a_false_value(ring: FakeRing) -> None:
    """What the protocol does not prevent (SECURITY.md): every commitment fits, so nobody has anything to dispute."""
    query = ask_up_to(ring, 1)
    ring.replace_worker(1, Deceiver)
    ring.replace_worker(2, Accomplice)
    ring.settle()
    session = session_of(ring, query)
    assert (session.phase, session.faults) == (QueryPhase.DELIVERED, ())
    assert answer(ring, query) != truth(ring)


@pytest.mark.usefixtures("falsifying")
def test_honest_worker_behind_two_colluders_that_frame_it_is_acquitted(ring: FakeRing) -> None:
    """It computed right on what it was sent, and so committed to another output than the plain model's."""
    query = ask_up_to(ring, 1)
    ring.replace_worker(1, Deceiver)
    ring.replace_worker(2, Framer)
    for layer in (1, 2, 3):
        ring.step(layer)
    assert session_of(ring, query).phase is QueryPhase.DISPUTED
    ring.step(0)
    (posted,) = verdicts(ring)
    assert (posted.verdict.hop, posted.verdict.sender_guilty, posted.verdict.receiver_guilty) == (3, True, False)


@pytest.mark.usefixtures("falsifying")
def test_no_attempt_goes_on_from_what_colluders_agreed_on(ring: FakeRing) -> None:
    """Once any dispute has the plain network computed, the attempt goes back to before the first false commitment."""
    query = ask_up_to(ring, 1)
    ring.replace_worker(1, Deceiver)
    ring.replace_worker(2, Framer)
    for layer in (1, 2, 3):
        ring.step(layer)
    ring.replace_worker(2, Worker)
    ring.step(0)
    ring.replace_worker(1, Worker)
    ring.settle()
    assert convictions(ring, query) == [2]
    assert [entry.event.first_hop for entry in ring.ledger.logged if isinstance(entry.event, RouteOpened)] == [0, 1]
    assert answer(ring, query) == truth(ring)
