"""Python and Solidity compute the same digests on random inputs."""

from __future__ import annotations

from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.crypto.signing import SignedMessage, message_digest
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.route import build_route, route_link
from deepring_chain.protocol.trail import extend_trail, start_trail
from deepring_chain.types import (
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    Complaint,
    ComplaintKind,
    Delivery,
    Digest,
    Hop,
    Leaf,
    Pointer,
    Position,
    QueryId,
    Question,
    RouteLink,
    SealingKey,
    TrailHash,
    Update,
    Verdict,
)
from tests.differential.harness import Harness

MANY = settings(max_examples=300, deadline=None, database=None)
SOME = settings(max_examples=100, deadline=None, database=None)

digests = st.binary(min_size=32, max_size=32).map(Digest)
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: Address(to_checksum_address(raw)))
numbers = st.integers(0, 2**64 - 1)
small = st.integers(0, 2**16 - 1)
queries, attempts, hops = numbers.map(QueryId), small.map(Attempt), small.map(Hop)

updates = st.builds(Update, queries, attempts, hops, st.integers(0, 2**32 - 1), digests, digests, digests, digests)
attestations = st.builds(Attestation, numbers.map(ArrangementId), small.map(Position), small, digests, digests)
deliveries = st.builds(Delivery, queries, attempts, digests, digests, digests)
complaints = st.builds(Complaint, queries, attempts, hops, st.sampled_from(ComplaintKind), digests, digests)
verdicts = st.builds(Verdict, queries, attempts, hops, st.booleans(), st.booleans(), digests, digests)


@MANY
@given(leaf=digests)
def test_hash_of_the_first_block_is_the_same(harness: Harness, leaf: Leaf) -> None:
    assert fold_leaves([leaf]) == [harness.call("firstBlockHash", leaf)]


@SOME
@given(leaves=st.lists(digests, min_size=1, max_size=8))
def test_fold_of_a_ring_is_the_same(harness: Harness, leaves: list[Leaf]) -> None:
    assert fold_leaves(leaves) == harness.fold(leaves)


@MANY
@given(signer=addresses, salt=digests, rest=digests)
def test_route_link_is_the_same(harness: Harness, signer: Address, salt: Digest, rest: RouteLink) -> None:
    assert route_link(signer, salt, rest) == harness.call("routeLink", signer, salt, rest)


@SOME
@given(hops=st.lists(st.tuples(addresses, digests), max_size=8))
def test_route_of_a_query_is_the_same(harness: Harness, hops: list[tuple[Address, Digest]]) -> None:
    signers, salts = [signer for signer, _ in hops], [salt for _, salt in hops]
    assert build_route(signers, salts) == harness.route(signers, salts)


@MANY
@given(message=updates)
def test_update_digest_is_the_same(harness: Harness, message: SignedMessage) -> None:
    assert message_digest(harness.domain, message) == harness.digest(message)


@MANY
@given(message=attestations)
def test_attestation_digest_is_the_same(harness: Harness, message: SignedMessage) -> None:
    assert message_digest(harness.domain, message) == harness.digest(message)


@MANY
@given(message=deliveries)
def test_delivery_digest_is_the_same(harness: Harness, message: SignedMessage) -> None:
    assert message_digest(harness.domain, message) == harness.digest(message)


@MANY
@given(message=complaints)
def test_complaint_digest_is_the_same(harness: Harness, message: SignedMessage) -> None:
    assert message_digest(harness.domain, message) == harness.digest(message)


@MANY
@given(message=verdicts)
def test_verdict_digest_is_the_same(harness: Harness, message: SignedMessage) -> None:
    assert message_digest(harness.domain, message) == harness.digest(message)


@MANY
@given(query=queries, querent=addresses, sealed_input=digests, key=digests, time=st.integers(0, 2**40 - 1))
def test_first_trail_is_the_same(
    harness: Harness, query: QueryId, querent: Address, sealed_input: Pointer, key: Digest, time: int
) -> None:
    actual = harness.call("startTrail", query, querent, (sealed_input, key, time))
    assert start_trail(query, querent, Question(sealed_input, SealingKey(key), time)) == actual


@MANY
@given(trail=digests, digest=digests, signer=addresses)
def test_next_trail_is_the_same(harness: Harness, trail: TrailHash, digest: Digest, signer: Address) -> None:
    assert extend_trail(trail, digest, signer) == harness.call("extendTrail", trail, digest, signer)
