"""Replay: something true is said again, elsewhere or later.

Who: an outsider that reads chain and store, another querent, an ouroboros that saves its work.
Wants: a second effect of one entry, somebody else's answer, or an old answer taken for a new one.
Stopped by: DR-21, DR-23, DR-28 (an answer is sealed for its query and key), DR-14, DR-42, I-2, I-4.
Outcome: refused.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from assurance.adversary.outcomes import refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.actors.leaves import message_name
from deepring_chain.crypto.signing import sign_message
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.events import BlockAttested
from deepring_chain.protocol.update import closing_delivery, encode_entry
from deepring_chain.types import ArrangementId, Digest, QueryId, QueryPhase, RejectReason
from tests.e2e.live_ring import random_images

OTHER_IMAGES = random_images(2, seed=9)


@refused
def test_input_posted_again_by_another_querent_is_turned_down(
    attacked: SteppedRing, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With its own key, to read the answer; and with the first querent's, to have it computed again."""
    query = attacked.ask()
    session = attacked.session(query)
    mallory = attacked.new_querent(tmp_path_factory.mktemp("mallory") / "keys")
    for key in (mallory._keys.sealing_public, session.sealing_key):
        copied, _ = mallory._client.submit_query(session.sealed_input, key)
        attacked.settle()
        assert attacked.session(copied).reject_reason is RejectReason.UNDECRYPTABLE
    attacked.expect_answered(query)


@refused
def test_input_posted_again_by_its_querent_is_answered_again_under_other_commitments(attacked: SteppedRing) -> None:
    """No harm: it pays again, and nobody who watches can tell from the commitments that both answers are equal."""
    first = attacked.ask()
    querent, session = attacked.querent(), attacked.session(first)
    second, _ = querent._client.submit_query(session.sealed_input, session.sealing_key)
    attacked.expect_answered(first)
    attacked.expect_answered(second)
    pairs = [(attacked.update_of(first, hop), attacked.update_of(second, hop)) for hop in range(5)]
    assert all(one.signed.update.output != other.signed.update.output for one, other in pairs)


def deliver_blob(ring: SteppedRing, query: QueryId, blob: Digest) -> None:
    """The ouroboros closes a computed query with a blob that it made for another one."""
    member, session = ring.member("ouroboros"), ring.session(query)
    true = ring.worker("ouroboros")
    output = true._receive(session)
    delivery = replace(true._close(session, output), answer=blob)
    signature = sign_message(member.keys.account, member.client.domain, delivery)
    member.client.deliver(member.shown(session), delivery, signature)


def computed(ring: SteppedRing) -> QueryId:
    """A query that waits for its delivery."""
    query = ring.ask(OTHER_IMAGES)
    ring.settle(until=lambda: ring.session(query).phase is QueryPhase.COMPUTED)
    return query


@refused
@pytest.mark.parametrize("whose", ["its own", "another's"])
def test_answer_to_another_query_is_refused_by_the_querent(
    own_ring: SteppedRing, tmp_path_factory: pytest.TempPathFactory, whose: str
) -> None:
    """An old answer to this querent, or one to somebody else: neither opens as the answer to this query."""
    other = own_ring.querent()
    if whose == "another's":
        other = own_ring.new_querent(tmp_path_factory.mktemp("other") / "keys")
    first = other.submit(random_images(2))
    own_ring.settle()
    answer = own_ring.session(first).answer
    assert answer is not None
    query = computed(own_ring)
    deliver_blob(own_ring, query, answer.answer)
    with pytest.raises(ProtocolError, match=r"seal|open"):
        own_ring.answer(query)


@refused
def test_other_answer_than_the_last_hop_expects_is_stopped_by_the_ledger(attacked: SteppedRing) -> None:
    """The commitment of an earlier delivery, with its blob."""
    first = attacked.ask()
    attacked.expect_answered(first)
    old = attacked.session(first).answer
    assert old is not None
    query = computed(attacked)
    member = attacked.member("ouroboros")
    session = attacked.session(query)
    delivery = closing_delivery(session, old.answer, old.output)
    signature = sign_message(member.keys.account, member.client.domain, delivery)
    member.client.deliver(member.shown(session), delivery, signature)
    assert attacked.session(query).phase is QueryPhase.DISPUTED
    attacked.expect_answered(query, OTHER_IMAGES)


@refused
def test_leaf_of_the_last_arrangement_left_in_the_mailbox_is_not_taken(attacked: SteppedRing) -> None:
    """Mallory copies signed leaves from the ledger to where the ouroboros looks for the next ones."""
    before = attacked.arrangement
    leaves = [logged.event for logged in attacked.events() if isinstance(logged.event, BlockAttested)]
    old = {event.attestation.position: event for event in leaves if event.attestation.arrangement == before}
    attacked.arrange()
    for position, event in old.items():
        name = message_name(attacked.deployment.ledger, LeafPlace(ArrangementId(before + 1), position, 0))
        attacked.store().leave(name, encode_entry(event.attestation, event.signature))
    attacked.step("ouroboros")
    state = attacked.state.arrangement
    assert state is not None
    assert not state.attestations
    attacked.settle()
    assert attacked.arrangement == before + 1
