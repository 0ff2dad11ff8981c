"""Planted obstacles: under a blob's name lies a folder, a pipe, a loop, or something that nobody may read.

Who: a worker that lies, a querent, or an outsider that can write to the store.
Wants: whatever cannot be read to count as an outage, so that nobody is convicted, and honest workers fall silent.
Stopped by: only a root that is gone counts as away (DR-59); faults of one blob are that blob's trouble (DR-27, DR-53).
Outcome: refused, or the liar is convicted. What even the blob's writer cannot displace stays in the way.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assurance.adversary.liars import Echo, WorkerClass, complaining, once, sending
from assurance.adversary.outcomes import blamed, not_stopped, refused
from assurance.adversary.stepped_ring import SteppedRing, convicted
from deepring_chain.actors.leaves import message_name
from deepring_chain.attacks.bit_flip import flip_memory_bits
from deepring_chain.chain.devnet import Devnet
from deepring_chain.crypto.digest import sha256
from deepring_chain.errors import StoreError
from deepring_chain.protocol.decide.judging import GRACE_SECONDS
from deepring_chain.protocol.decide.keeping import CARD_SECONDS, LOOK_SECONDS
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.events import EnvelopeDisputed
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import FaultKind, Session
from deepring_chain.store.content import BlobBlocked, ContentStore
from deepring_chain.types import (
    Complaint,
    ComplaintKind,
    Digest,
    Pointer,
    Position,
    QueryId,
    QueryPhase,
    RejectReason,
    RingMode,
)
from tests.e2e.live_ring import random_images

Trap = Callable[[Path], None]


def folder(path: Path) -> None:
    path.mkdir(parents=True)


def pipe(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(path)


def no_folder(path: Path) -> None:
    path.parent.write_bytes(b"")


TRAPS: list[Trap] = [folder, pipe, loop]
NEW_TRAPS = [*TRAPS, no_folder]
"""The last one would take good blobs away, too, where there are some in the folder."""


def planted(ring: SteppedRing, trap: Trap) -> Pointer:
    """A digest of the attacker's choice: its own name in the store, nobody's blob is touched."""
    while True:
        digest = Pointer(Digest(os.urandom(32)))
        if not ring.path_of(digest).parent.exists():
            trap(ring.path_of(digest))
            return digest


def wait_for_the_verdict(ring: SteppedRing) -> None:
    """An honest side gets some time to put back what the store has lost."""
    ring.settle()
    ring.wait(GRACE_SECONDS + 1)
    ring.settle_patiently()


def strikes(ring: SteppedRing) -> dict[str, int]:
    """How often each worker failed, by its name."""
    ouroboros: Any = ring.actors["ouroboros"].acting
    names = {ring.member(name).keys.address: name for name in ring.names}
    return {names[address]: count for address, count in ouroboros._router.failures().items()}


# ---------------------------------------------------------------------- envelopes


@blamed
@pytest.mark.parametrize("trap", NEW_TRAPS)
def test_sender_whose_pointer_leads_to_an_obstacle_is_convicted(attacked: SteppedRing, trap: Trap) -> None:
    query = attacked.ask()
    with attacked.bribed("worker-2", once(sending(lambda _session: planted(attacked, trap)))):
        wait_for_the_verdict(attacked)
        attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)


@blamed
def test_sender_that_does_so_again_and_again_is_replaced_and_its_honest_reader_has_no_strike(
    relieved_ring: SteppedRing,
) -> None:
    query = relieved_ring.ask()
    with relieved_ring.bribed("worker-2", sending(lambda _session: planted(relieved_ring, folder))):
        wait_for_the_verdict(relieved_ring)
        relieved_ring.expect_answered(query)
    assert relieved_ring.guilt(query) == convicted(2)
    assert strikes(relieved_ring) == {"worker-2": 1}
    relieved_ring.expect_well()


@blamed
@pytest.mark.parametrize("trap", TRAPS)
def test_liar_that_replaces_its_envelope_after_the_complaint_is_convicted(attacked: SteppedRing, trap: Trap) -> None:
    query = attacked.ask_up_to(2)
    with attacked.bribed("worker-2", once(Echo)):
        attacked.settle("ouroboros", "worker-3")
        attacked.step("worker-3")
        assert attacked.session(query).phase is QueryPhase.DISPUTED
        pointer = attacked.update_of(query, 2).signed.update.envelope
        attacked.lose(pointer)
        trap(attacked.path_of(pointer))
        wait_for_the_verdict(attacked)
        attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)


@refused
@pytest.mark.parametrize("trap", TRAPS)
def test_obstacle_in_place_of_an_honest_envelope_is_displaced_and_convicts_nobody(
    attacked: SteppedRing, trap: Trap
) -> None:
    query = attacked.ask_up_to(3)
    pointer = attacked.update_of(query, 2).signed.update.envelope
    attacked.lose(pointer)
    trap(attacked.path_of(pointer))
    attacked.expect_answered(query)
    assert convicted(2) != attacked.guilt(query) != convicted(3)


@refused
def test_link_in_place_of_the_folder_of_an_honest_envelope_is_displaced_and_convicts_nobody(
    own_ring: SteppedRing,
) -> None:
    """It leads to where nobody can write: the sender could not put its envelope back.

    Other blobs may have lain in that folder: the ring is this attack's own.
    """
    query = own_ring.ask_up_to(3)
    prefix = own_ring.path_of(own_ring.update_of(query, 2).signed.update.envelope).parent
    prefix.rename(prefix.with_name("taken-away"))
    prefix.symlink_to("/proc")
    own_ring.settle()
    wait_for_the_verdict(own_ring)
    own_ring.expect_answered(query)
    assert own_ring.guilt(query) == [(3, FaultKind.UNSETTLED)]


# ---------------------------------------------------------------------- evidence of complaints


def with_evidence(ring: SteppedRing, trap: Trap) -> WorkerClass:
    """Complains of a good envelope, and points to an obstacle for its evidence."""

    class Liar(complaining(ComplaintKind.UNREADABLE)):  # type: ignore[misc]
        def _make_complaint(self, session: Session, note: RouteNote, kind: ComplaintKind, _key: object) -> Complaint:
            evidence = planted(ring, trap)
            return Complaint(session.query, session.attempt, note.hop, kind, evidence, session.trail)

    return Liar


@blamed
@pytest.mark.parametrize("standbys", [0, 1])
def test_false_complaints_whose_evidence_nobody_can_read_convict_the_complainer(
    attacked_node: Devnet, tmp_path: Path, standbys: int
) -> None:
    ring = SteppedRing(tmp_path / "ring", attacked_node, standbys=standbys)
    for trap in TRAPS:
        layer_2 = next(name for name in ring.names if name.startswith("worker-2") and is_seated(ring, name))
        query = ring.ask()
        with ring.bribed(layer_2, with_evidence(ring, trap)):
            wait_for_the_verdict(ring)
            ring.expect_answered(query)
        assert ring.guilt(query) == convicted(2)
    ring.expect_well()


def is_seated(ring: SteppedRing, name: str) -> bool:
    current = ring.state.arrangement
    assert current is not None
    return ring.member(name).keys.address in current.arranged.seats


def dispute_of(ring: SteppedRing, query: QueryId) -> EnvelopeDisputed:
    dispute = ring.session(query).dispute
    assert isinstance(dispute, EnvelopeDisputed)
    return dispute


@blamed
@pytest.mark.parametrize("trap", [None, folder])
def test_liar_that_takes_the_evidence_of_an_honest_complaint_away_is_convicted(
    attacked: SteppedRing, trap: Trap | None
) -> None:
    query = attacked.ask_up_to(2)
    with attacked.bribed("worker-2", once(Echo)):
        attacked.settle("ouroboros", "worker-3")
        attacked.step("worker-3")
        evidence = dispute_of(attacked, query).complaint.evidence
        attacked.lose(evidence)
        if trap is not None:
            trap(attacked.path_of(evidence))
        attacked.step("ouroboros")
        assert attacked.session(query).phase is QueryPhase.DISPUTED
        attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)


@refused
def test_obstacle_in_place_of_the_notes_keeps_no_sender_from_putting_its_envelope_back(own_ring: SteppedRing) -> None:
    """The ring is seated anew while a query is disputed: who cannot attest yet answers the referee all the same."""
    query = own_ring.ask_up_to(3)
    pointer = own_ring.update_of(query, 2).signed.update.envelope
    own_ring.lose(pointer)
    own_ring.step("worker-3")
    assert own_ring.session(query).phase is QueryPhase.DISPUTED
    own_ring.arrange()
    current = own_ring.state.arrangement
    assert current is not None
    own_ring.lose(current.arranged.notes)
    folder(own_ring.path_of(current.arranged.notes))
    folder(own_ring.path_of(pointer))
    own_ring.step("worker-2")
    assert own_ring.store().has_good(pointer)
    wait_for_the_verdict(own_ring)
    own_ring.wait(LOOK_SECONDS)
    own_ring.expect_answered(query)
    assert own_ring.guilt(query) == [(3, FaultKind.UNSETTLED)]


@blamed
def test_liar_that_empties_the_whole_store_is_convicted(own_ring: SteppedRing) -> None:
    """An empty store looks like one whose disk is not mounted, and that is waited for."""
    query = own_ring.ask_up_to(2)
    with own_ring.bribed("worker-2", once(Echo)):
        own_ring.settle("ouroboros", "worker-3")
        own_ring.step("worker-3")
        assert own_ring.session(query).phase is QueryPhase.DISPUTED
        for path in (own_ring.folder.path / "store").iterdir():
            shutil.rmtree(path)
        wait_for_the_verdict(own_ring)
    assert own_ring.guilt(query) == convicted(2)


# ---------------------------------------------------------------------- leaves


@refused
@pytest.mark.parametrize("trap", [Path.touch, os.mkfifo, loop], ids=["file", "pipe", "loop"])
def test_obstacle_in_place_of_the_messages_keeps_no_leaf_from_being_posted(
    attacked: SteppedRing, trap: Callable[[Path], None]
) -> None:
    messages = attacked.folder.path / "store" / "messages"
    shutil.rmtree(messages)
    trap(messages)
    attacked.arrange()
    attacked.settle()
    assert attacked.state.mode is RingMode.QUERY


class NoMessages(ContentStore):
    """A store in which even a folder's owner cannot displace what lies in a message's place."""

    def leave(self, name: str, message: bytes) -> None:  # noqa: ARG002 - the base class names it
        raise StoreError("message cannot be left")


@refused
def test_worker_that_cannot_leave_a_message_posts_its_leaf_at_once(own_ring: SteppedRing) -> None:
    """Nobody waits for a clock."""
    for name in own_ring.names[1:]:
        own_ring.member(name).store = NoMessages(own_ring.deployment.store_url)
    own_ring.arrange()
    for position in range(1, 5):
        name = message_name(own_ring.deployment.ledger, LeafPlace(own_ring.arrangement, Position(position), 0))
        folder(own_ring.folder.path / "store" / "messages" / name)
    own_ring.step("ouroboros")
    for name in own_ring.names[1:]:
        own_ring.step(name)
    current = own_ring.state.arrangement
    assert current is not None
    assert current.missing_seats() in ([], [0])
    own_ring.wait(1)  # for which the ouroboros gathers leaves
    own_ring.expect_answered(own_ring.ask())


# ---------------------------------------------------------------------- inputs


@refused
@pytest.mark.parametrize("trap", NEW_TRAPS)
def test_input_that_cannot_be_read_is_that_querys_trouble_alone(
    attacked: SteppedRing, tmp_path: Path, trap: Trap
) -> None:
    """The audit goes on, too, with a remark."""
    querent: Any = attacked.new_querent(tmp_path / "stranger")
    pointer = planted(attacked, trap)
    bad, _ = querent._client.submit_query(pointer, querent._keys.sealing_public)
    attacked.expect_answered(attacked.ask())
    assert attacked.session(bad).reject_reason is RejectReason.BLOB_UNAVAILABLE
    report = attacked.audit()
    assert report.failure is None
    assert any(f"query {bad}" in remark for remark in report.remarks)


@refused
@pytest.mark.parametrize("trap", [None, *TRAPS])
def test_model_card_that_is_taken_away_keeps_nobody_from_asking(attacked: SteppedRing, trap: Trap | None) -> None:
    model = attacked.state.model
    assert model is not None
    attacked.lose(model.card)
    if trap is not None:
        trap(attacked.path_of(model.card))
    attacked.wait(CARD_SECONDS + 1)
    attacked.step("ouroboros")
    attacked.expect_answered(attacked.ask())


# ---------------------------------------------------------------------- what nobody can displace


class FirstNameBlocked(ContentStore):
    """A store in which another is quicker with an obstacle, under the first name of everything that is put there."""

    first: bytes | None = None
    blocked = 0

    def put(self, data: bytes) -> Pointer:
        assert self.first is not None, "put under a name that could not be changed"
        if data != self.first:
            return super().put(data)
        self.blocked += 1
        raise BlobBlocked(Pointer(sha256(data)), "a directory lies there", self.url)

    def put_sealed(self, blob: bytes, seal_anew: Callable[[], bytes]) -> tuple[Pointer, bytes]:
        self.first = blob
        return super().put_sealed(blob, seal_anew)


@blamed
def test_content_whose_name_is_blocked_is_sealed_anew_before_anything_names_it(own_ring: SteppedRing) -> None:
    """Input, notes, envelopes, evidence, parameters, answer: nobody is late, and nobody else is blamed."""
    stores = {name: FirstNameBlocked(own_ring.deployment.store_url) for name in own_ring.names}
    for name, store in stores.items():
        own_ring.member(name).store = store
    layers = own_ring.worker("worker-4")._block.layers
    flip_memory_bits((layers.own,), (("layer.4.weight", 3),))
    own_ring.arrange()
    querent, querents = own_ring.querent(), FirstNameBlocked(own_ring.deployment.store_url)
    querent._store = querents
    with own_ring.bribed("worker-2", once(Echo)):
        own_ring.settle_patiently()
        query = querent.submit(random_images(2))
        own_ring.expect_answered(query)
    assert own_ring.guilt(query) == convicted(2)
    assert all(store.blocked for store in (querents, *stores.values()))
    own_ring.expect_well()


class Blocking(ContentStore):
    """A store in which another's obstacle lies under a name and cannot be displaced."""

    blocked: frozenset[Digest] = frozenset()

    def put(self, data: bytes) -> Pointer:
        digest = sha256(data)
        if digest in self.blocked:
            raise BlobBlocked(Pointer(digest), "a directory lies there", self.url)
        return super().put(data)


@not_stopped("Denial of service.")
def test_not_stopped_notes_in_whose_place_lies_what_nobody_can_displace_are_waited_for(own_ring: SteppedRing) -> None:
    """On a disk where others own the folder: the ring attests as soon as it is removed."""
    own_ring.arrange()
    current = own_ring.state.arrangement
    assert current is not None
    notes = current.arranged.notes
    own_ring.lose(notes)
    folder(own_ring.path_of(notes))
    honest = own_ring.member("ouroboros").store
    blocking = Blocking(own_ring.deployment.store_url)
    blocking.blocked = frozenset({notes})
    own_ring.member("ouroboros").store = blocking
    for _ in range(3):
        own_ring.settle()
        own_ring.wait(3)
    assert own_ring.state.mode is RingMode.ATTESTING
    own_ring.member("ouroboros").store = honest
    own_ring.wait(3)
    own_ring.expect_answered(own_ring.ask())
