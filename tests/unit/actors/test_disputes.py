"""What a false neighbor can do: it is found, the honest one is not blamed for it, and the query is answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.actors.worker.worker import Worker
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.envelope import hop_context, seal_output
from deepring_chain.protocol.events import EnvelopeDisputed
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import Session
from deepring_chain.types import ComplaintKind, Digest, Hop, OutputCommitment, Pointer, QueryId, QueryPhase, TensorBytes
from tests.unit.actors.fake_ring import FakeRing, ask_up_to, client_of, posts, session_of


class LyingWorker(Worker):
    """Commits to what it computed and sends something else."""

    def _send_output(self, session: Session, note: RouteNote, output: TensorBytes) -> Pointer:
        changed = replace(output, data=bytes([output.data[0] ^ 1]) + output.data[1:])
        return super()._send_output(session, note, changed)


class SilentWorker(Worker):
    """Points to an envelope that it never stores."""

    def _send_output(self, *_: object) -> Pointer:
        return Pointer(Digest(bytes(32)))


class MisdirectingWorker(Worker):
    """Seals its output for another query."""

    def _send_output(self, session: Session, note: RouteNote, output: TensorBytes) -> Pointer:
        place = hop_context(self._member.client.domain, QueryId(99), session.attempt, note.hop)
        return self._member.store.put(seal_output(note.next_sealing_key, output, place))


def judged(ring: FakeRing) -> list[str]:
    return [call for call in client_of(ring.members[0]).calls if call.startswith("judge")]


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (LyingWorker, ComplaintKind.ALTERED),
        (SilentWorker, ComplaintKind.MISSING),
        (MisdirectingWorker, ComplaintKind.UNREADABLE),
    ],
)
def test_worker_complains_of_what_was_not_committed_to(
    ring: FakeRing, kind: type[Worker], complaint: ComplaintKind
) -> None:
    """The layer before echoes the expected hash on the ledger and sends its neighbor something else, or nothing."""
    query = ask_up_to(ring, 1)
    ring.replace_worker(1, kind)
    ring.step(1)
    ring.step(2)
    session = session_of(ring, query)
    assert posts(ring, 2) == []
    assert ring.members[2].journal.keys("update/") == []
    assert session.phase is QueryPhase.DISPUTED
    assert isinstance(session.dispute, EnvelopeDisputed)
    assert (session.dispute.complaint.kind, session.dispute.complaint.hop) == (complaint, 2)
    assert session.dispute.recipient == ring.members[2].keys.address


@pytest.mark.parametrize("kind", [LyingWorker, SilentWorker, MisdirectingWorker])
def test_liar_alone_is_found_guilty_and_the_query_is_answered(ring: FakeRing, kind: type[Worker]) -> None:
    """The verdict must name the sender, not the honest worker that complained."""
    query = ask_up_to(ring, 1)
    ring.replace_worker(1, kind)
    ring.step(1)
    ring.step(2)
    ring.step(0)  # a missing blob is awaited for a while
    ring.now += 10
    ring.step(0)
    assert judged(ring) == [f"judge {query} True False"]
    ring.replace_worker(1, Worker)
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED
    assert judged(ring) == [f"judge {query} True False"]


class AccusingWorker(Worker):
    """Complains of a good envelope."""

    def _receive(self, *_: object) -> TensorBytes:
        raise ProtocolError("made up")


def test_worker_that_accuses_an_honest_neighbor_is_found_guilty(ring: FakeRing) -> None:
    query = ask_up_to(ring, 2)
    ring.replace_worker(2, AccusingWorker)
    ring.step(2)
    ring.step(0)
    assert judged(ring) == [f"judge {query} False True"]


class WorkerWithBadNeighbors(Worker):
    """The two before it agreed on a tensor that no layer can take."""

    def _receive(self, *_: object) -> TensorBytes:
        return TensorBytes("uint8", (1, 5), bytes(5))


def test_worker_complains_of_a_tensor_that_its_layer_cannot_take(ring: FakeRing) -> None:
    """It fits its commitment, so nothing else would keep this worker from timing out."""
    query = ask_up_to(ring, 2)
    ring.replace_worker(2, WorkerWithBadNeighbors)
    ring.step(2)
    session = session_of(ring, query)
    assert isinstance(session.dispute, EnvelopeDisputed)
    assert (session.dispute.complaint.kind, session.dispute.complaint.hop) == (ComplaintKind.UNREADABLE, 2)


class WrongWorker(Worker):
    """Computes something else, and commits to it."""

    def _commitments(
        self, note: RouteNote, output: TensorBytes, following: TensorBytes
    ) -> tuple[OutputCommitment, OutputCommitment]:
        other = replace(output, data=bytes(len(output.data)))
        return super()._commitments(note, other, following)


class FramingWorker(Worker):
    """Commits to a wrong output of the next layer, so that its honest neighbor seems to contradict it."""

    def _commitments(
        self, note: RouteNote, output: TensorBytes, following: TensorBytes
    ) -> tuple[OutputCommitment, OutputCommitment]:
        other = replace(following, data=bytes(len(following.data)))
        return super()._commitments(note, output, other)


@pytest.mark.parametrize(
    ("layer", "kind", "verdict"),
    [(2, WrongWorker, "False True"), (1, FramingWorker, "True False")],
    ids=["wrong output", "framed neighbor"],
)
def test_contradiction_is_blamed_on_the_one_who_lied(
    ring: FakeRing, layer: int, kind: type[Worker], verdict: str
) -> None:
    """Eq. 13 fails at hop 2 in both cases: it says that hop 1 or hop 2 lied, not which."""
    query = ask_up_to(ring, 1)
    ring.replace_worker(layer, kind)
    ring.step(1)
    ring.step(2)
    assert session_of(ring, query).phase is QueryPhase.DISPUTED
    ring.step(0)
    assert judged(ring) == [f"judge {query} {verdict}"]
    ring.replace_worker(layer, Worker)
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


def test_silent_hop_times_out_and_the_query_goes_on(ring: FakeRing) -> None:
    query = ask_up_to(ring, 2)
    ring.settle(2, 3)
    assert session_of(ring, query).next_hop == 2
    ring.now += client_of(ring.members[0]).hop_seconds + 1
    ring.step(0)
    assert session_of(ring, query).phase is QueryPhase.INTERRUPTED
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED
    assert posts(ring, 1)[0] == f"post {query} 1"


def test_lost_blob_is_put_back_by_its_sender_and_nobody_is_blamed(ring: FakeRing) -> None:
    """The store loses an envelope between two honest workers."""
    query = ask_up_to(ring, 2)
    pointer = session_of(ring, query).updates[Hop(1)].signed.update.envelope
    next((ring.folder / "store").rglob(pointer.hex())).unlink()
    ring.settle()
    assert f"complain {query} 2 MISSING" in client_of(ring.members[2]).calls
    assert judged(ring) == [f"judge {query} False False"]
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


def test_update_signed_by_another_than_the_notes_predecessor_is_not_computed_on(ring: FakeRing) -> None:
    """The route note names who must have signed the hop before."""
    query = ask_up_to(ring, 1)
    member = ring.members[1]
    member.follower.refresh()
    session = member.state.sessions[query]
    posted = replace(session.updates[Hop(0)], signer=ring.members[3].keys.address)
    member.state.sessions[query] = replace(session, updates={Hop(0): posted})
    ring.workers[0].act()
    assert posts(ring, 1) == []
    assert client_of(member).calls[-1] == f"complain {query} 1 UNREADABLE"
