"""The querent seals what it asks, checks what it gets, and says in one line why there is no answer."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deepring_chain.actors import querent as querent_module
from deepring_chain.actors.querent import AnswerLate, QueryFailed
from deepring_chain.chain.errors import NodeUnreachable
from deepring_chain.crypto.digest import commit_output
from deepring_chain.crypto.sealing import SealBroken
from deepring_chain.errors import ChainError, DeepRingError, ModelError, ProtocolError, StoreError
from deepring_chain.protocol.envelope import Answer, answer_context, open_output, query_context, seal_content
from deepring_chain.protocol.events import (
    AnswerDelivered,
    LoggedEvent,
    OutputDisputed,
    QueryRejected,
    QueryWithdrawn,
    WorkerAdmitted,
)
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.validation import UnexpectedOutput
from deepring_chain.store.content import BlobMissing, ContentStore
from deepring_chain.types import (
    Attempt,
    Digest,
    Hop,
    OutputCommitment,
    QueryId,
    QueryPhase,
    RejectReason,
    RingMode,
    SealingKey,
    TensorBytes,
)
from tests.unit.actors.fake_ledger import DOMAIN, FakeLedger
from tests.unit.actors.fake_ring import IMAGES, FakeRing, make_keys, make_querent

KEY = Digest(bytes([3]) * 32)


def silent(_session: Session, _mode: RingMode) -> None:
    pass


def answered(ring: FakeRing) -> QueryId:
    """A query that went round."""
    ring.settle()
    query = ring.ask()
    ring.settle()
    return query


def with_answer(ring: FakeRing, query: QueryId, **changes: Any) -> None:
    """Changes the delivered answer on the ledger."""

    def changed(entry: LoggedEvent) -> LoggedEvent:
        event = entry.event
        if isinstance(event, AnswerDelivered) and event.query == query:
            return replace(entry, event=replace(event, **changes))
        return entry

    ring.ledger.logged = [changed(entry) for entry in ring.ledger.logged]


# ---------------------------------------------------------------- asking


def test_query_is_sealed_to_the_ouroboros_for_this_querent(ring: FakeRing) -> None:
    query = ring.ask()
    session = ring.ledger.state.sessions[query]
    querent = make_keys(50)
    assert (session.querent, session.sealing_key) == (querent.address, querent.sealing_public)
    blob = ring.store.get(session.sealed_input)
    place = query_context(DOMAIN, querent.address, querent.sealing_public)
    tensor = open_output(ring.members[0].keys.sealing, blob, place)
    assert tensor == ring.model.card.quantise_input(IMAGES)
    assert tensor.data not in blob
    for layer in (1, 2, 3):
        with pytest.raises(SealBroken):
            open_output(ring.members[layer].keys.sealing, blob, place)


def test_one_image_is_a_batch_of_one(ring: FakeRing) -> None:
    ring.settle()
    query = ring.querent.submit(IMAGES[0])
    ring.settle()
    assert ring.querent.wait(query, 0, silent).output.shape == (1, 3)


def test_ledger_without_a_model_says_so(ring: FakeRing) -> None:
    querent = make_querent(FakeLedger(ring.ledger.ouroboros), ring.store, 50)
    with pytest.raises(ChainError, match="no model yet"):
        querent.read_card()
    with pytest.raises(ChainError, match="no model yet"):
        querent.submit(IMAGES)


def test_ledger_without_the_ouroboros_key_says_so(ring: FakeRing) -> None:
    """Mallory is admitted, the ouroboros is not: nothing is sealed to somebody else in its place."""
    ledger = FakeLedger(ring.ledger.ouroboros)
    ledger.set_up(ring.store.put(ring.model.card.encode()), 3, {make_keys(66).address: make_keys(66).sealing_public})
    with pytest.raises(ChainError, match="no key yet"):
        make_querent(ledger, ring.store, 50).submit(IMAGES)
    assert ledger.state.sessions == {}


def test_weak_key_of_the_ouroboros_is_refused(ring: FakeRing) -> None:
    ring.ledger.emit(WorkerAdmitted(ring.ledger.ouroboros, SealingKey(Digest(b"\1" + bytes(31)))))
    with pytest.raises(ProtocolError, match="unusable"):
        ring.ask()


@pytest.mark.parametrize(
    "images", [np.zeros((4, 3), np.uint8), np.zeros((0, 3, 4), np.uint8), np.zeros((3, 4), np.int16)]
)
def test_images_that_do_not_fit_are_never_sent(ring: FakeRing, images: Any) -> None:
    with pytest.raises(ModelError, match="takes images"):
        ring.querent.submit(images)
    assert ring.ledger.state.sessions == {}


def test_card_that_is_gone_says_so(ring: FakeRing, tmp_path: Any) -> None:
    empty = ContentStore((tmp_path / "empty").as_uri())
    with pytest.raises(BlobMissing):
        make_querent(ring.ledger, empty, 50).read_card()


# ---------------------------------------------------------------- waiting


def test_answer_comes_with_predictions_and_probabilities(ring: FakeRing) -> None:
    query = answered(ring)
    result = ring.querent.wait(query, 0, silent)
    plain = ring.model.run(ring.model.card.quantise_input(IMAGES))
    assert (result.query, result.output) == (query, plain)
    assert result.predictions.tolist() == ring.model.card.predictions(plain).tolist()
    assert np.allclose(result.probabilities.sum(axis=1), 1)


def test_progress_is_told_when_the_chain_moved(ring: FakeRing) -> None:
    query = answered(ring)
    told: list[tuple[QueryPhase, RingMode]] = []
    ring.querent.wait(query, 0, lambda session, mode: told.append((session.phase, mode)))
    ring.querent.wait(query, 0, lambda session, mode: told.append((session.phase, mode)))
    assert told == [(QueryPhase.DELIVERED, RingMode.QUERY)]


def test_answer_can_be_fetched_later_from_a_new_process(ring: FakeRing) -> None:
    query = answered(ring)
    again = make_querent(ring.ledger, ring.store, 50)
    assert again.wait(query, 0, silent).output == ring.querent.wait(query, 0, silent).output


def test_query_that_takes_too_long_stays_on_the_ledger(ring: FakeRing) -> None:
    ring.settle()
    query = ring.ask()
    ring.settle(2, 3)
    with pytest.raises(QueryFailed, match=rf"no answer within 0 s \(phase ROUTED, hop 2, .* `deepring answer {query}`"):
        ring.querent.wait(query, 0, silent)
    ring.settle()
    assert ring.querent.wait(query, 0, silent).query == query


# ---------------------------------------------------------------- node and store that go away


class Away:
    """In place of a call: fails some times, then goes through."""

    def __init__(self, call: Any, error: Exception, times: int) -> None:
        self._call, self._error, self.left = call, error, times

    def __call__(self, *arguments: Any) -> Any:
        if self.left:
            self.left -= 1
            raise self._error
        return self._call(*arguments)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the querent would have paused."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def test_node_that_goes_away_is_asked_again(
    ring: FakeRing, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    query, told = answered(ring), list[DeepRingError]()
    client = ring.querent._client
    monkeypatch.setattr(client, "head", Away(client.head, NodeUnreachable("node: no node answers"), 9))
    assert ring.querent.wait(query, 1e6, silent, told.append).query == query
    assert [str(error) for error in told] == ["node: no node answers"]
    assert len(pauses) == 9
    assert sorted(pauses) == pauses
    assert pauses[-1] == querent_module.LONGEST_PAUSE


def test_store_that_goes_away_is_asked_again(
    ring: FakeRing, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    query, told = answered(ring), list[DeepRingError]()
    monkeypatch.setattr(ContentStore, "get", Away(ring.store.get, StoreError("cannot read the store"), 2))
    assert ring.querent.wait(query, 1e6, silent, told.append).query == query
    assert (len(told), len(pauses)) == (1, 2)


def test_node_that_stays_away_is_named_with_the_command_that_reads_the_answer(
    ring: FakeRing, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = answered(ring)
    client = ring.querent._client
    monkeypatch.setattr(client, "head", Away(client.head, NodeUnreachable("node: no node answers"), 10**9))
    with pytest.raises(AnswerLate, match=rf"node: no node answers\); it stays .* `deepring answer {query}`"):
        ring.querent.wait(query, -1, silent)
    assert pauses == []


def test_unknown_query_says_so(ring: FakeRing) -> None:
    with pytest.raises(QueryFailed, match="query 7: the ledger has no such query"):
        ring.querent.wait(QueryId(7), 0, silent)


def test_anothers_query_says_whose_it_is(ring: FakeRing) -> None:
    query = answered(ring)
    other = make_querent(ring.ledger, ring.store, 51)
    with pytest.raises(QueryFailed, match=f"asked by {make_keys(50).address}"):
        other.wait(query, 0, silent)


def test_rejected_query_says_why(ring: FakeRing) -> None:
    query = ring.ask()
    ring.ledger.emit(QueryRejected(query, RejectReason.BLOB_UNAVAILABLE))
    with pytest.raises(QueryFailed, match=r"rejected by the ouroboros \(BLOB_UNAVAILABLE\)"):
        ring.querent.wait(query, 0, silent)


def test_disputed_query_is_waited_for(ring: FakeRing) -> None:
    """A dispute is not the end: the query is judged and goes on."""
    ring.settle()
    query = ring.ask()
    ring.settle(3)
    ring.ledger.emit(OutputDisputed(query, Attempt(1), Hop(2), OutputCommitment(KEY), OutputCommitment(KEY)))
    with pytest.raises(QueryFailed, match=r"no answer within 0 s \(phase DISPUTED, hop 2"):
        ring.querent.wait(query, 0, silent)


def test_withdrawn_query_says_so(ring: FakeRing) -> None:
    query = ring.ask()
    ring.ledger.emit(QueryWithdrawn(query))
    with pytest.raises(QueryFailed, match="ended in phase WITHDRAWN without an answer"):
        ring.querent.wait(query, 0, silent)


# ---------------------------------------------------------------- false answers


def forged(ring: FakeRing, query: QueryId, output: TensorBytes, key: Digest = KEY) -> Digest:
    """A sealed answer that anybody could make who knows the querent's public key."""
    querent = make_keys(50)
    place = answer_context(DOMAIN, query, querent.sealing_public)
    return ring.store.put(seal_content(querent.sealing_public, Answer(output, key).encode(), place))


def test_answer_that_the_ledger_does_not_commit_to_is_refused(ring: FakeRing) -> None:
    """Whoever holds the store puts another answer, well sealed, where the ledger's pointer leads."""
    query = answered(ring)
    false = TensorBytes("int32", (2, 3), bytes(24))
    with_answer(ring, query, answer=forged(ring, query, false))
    with pytest.raises(UnexpectedOutput) as caught:
        ring.querent.wait(query, 0, silent)
    assert caught.value.query == query
    assert caught.value.actual == commit_output(KEY, false)


def test_answer_of_another_query_is_refused(ring: FakeRing) -> None:
    """The ouroboros points one query to the answer of another of the same querent."""
    first = answered(ring)
    second = answered(ring)
    answer = ring.ledger.state.sessions[first].answer
    assert answer is not None
    with_answer(ring, second, answer=answer.answer, output=answer.output)
    with pytest.raises(SealBroken):
        ring.querent.wait(second, 0, silent)
    assert ring.querent.wait(first, 0, silent).query == first


def test_answer_from_another_chain_is_refused(ring: FakeRing) -> None:
    query = answered(ring)
    elsewhere = make_querent(ring.ledger, ring.store, 50, replace(DOMAIN, chain_id=1))
    with pytest.raises(SealBroken):
        elsewhere.wait(query, 0, silent)


def test_answer_under_another_key_than_committed_is_refused(ring: FakeRing) -> None:
    """The right output with another commitment key: the querent could not hold it against the ledger."""
    query = answered(ring)
    right = ring.querent.wait(query, 0, silent).output
    with_answer(ring, query, answer=forged(ring, query, right))
    with pytest.raises(UnexpectedOutput):
        make_querent(ring.ledger, ring.store, 50).wait(query, 0, silent)


def test_answer_that_is_gone_says_so(ring: FakeRing) -> None:
    query = answered(ring)
    with_answer(ring, query, answer=KEY)
    with pytest.raises(BlobMissing):
        ring.querent.wait(query, 0, silent)


@pytest.mark.parametrize("plaintext", [b"", b"answer", Answer(TensorBytes("int8", (1,), b"a"), KEY).encode() + b"\0"])
def test_answer_that_is_none_is_refused(ring: FakeRing, plaintext: bytes) -> None:
    query = answered(ring)
    querent = make_keys(50)
    place = answer_context(DOMAIN, query, querent.sealing_public)
    with_answer(ring, query, answer=ring.store.put(seal_content(querent.sealing_public, plaintext, place)))
    with pytest.raises(ProtocolError, match="answer"):
        ring.querent.wait(query, 0, silent)


@pytest.mark.parametrize("items", [1, 3])
def test_answer_to_another_number_of_items_is_refused(ring: FakeRing, items: int) -> None:
    """Colluders answer fewer images than were asked, or more; also to a querent that asked before a restart."""
    query = answered(ring)
    output = TensorBytes("int32", (items, 3), bytes(12 * items))
    with_answer(ring, query, answer=forged(ring, query, output), output=commit_output(KEY, output))
    for querent in (ring.querent, make_querent(ring.ledger, ring.store, 50)):
        with pytest.raises(ProtocolError, match=f"sent {items} items; the query has 2"):
            querent.wait(query, 0, silent)


def test_answer_is_refused_where_the_ouroboros_told_the_ledger_another_number(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = answered(ring)
    ring.querent._asked[query] = replace(ring.querent._asked[query], items=3)
    with pytest.raises(QueryFailed, match="3 items were asked, the ouroboros opened it for 2"):
        ring.querent.wait(query, 0, silent)


@pytest.mark.parametrize("output", [TensorBytes("int8", (2, 3), bytes(6)), TensorBytes("int32", (2, 4), bytes(32))])
def test_committed_answer_that_does_not_fit_the_model_is_refused(ring: FakeRing, output: TensorBytes) -> None:
    """The ring agrees on an output that the model cannot have given."""
    query = answered(ring)
    with_answer(ring, query, answer=forged(ring, query, output), output=commit_output(KEY, output))
    with pytest.raises(DeepRingError, match="answer is int32"):
        ring.querent.wait(query, 0, silent)
