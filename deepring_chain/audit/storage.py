"""What the events amount to, held against the ledger's own storage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from eth_typing import ChecksumAddress
from web3.contract.contract import ContractFunctions

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import node_errors
from deepring_chain.protocol.audit_step import AuditFailure, Place, Terms, show
from deepring_chain.protocol.events import ModelRegistered
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.protocol.verifier_query import QueryVerifier
from deepring_chain.protocol.verifier_ring import Seating
from deepring_chain.types import ZERO, Position

SETTLE_SECONDS = 0.5
"""What stands at a block does not change: a difference that is real is still there after this."""


@dataclass(frozen=True)
class _Stored:
    """A struct of the ledger's storage: its name, what the events amount to, and what the ledger says."""

    name: str
    members: Sequence[str]
    expected: Sequence[object]
    found: Sequence[object]


def read_terms(client: LedgerClient) -> Terms:
    """What the ledger is deployed with, as its getters tell; they are part of the code that was compared."""
    return Terms(client.domain, client.ouroboros, client.hop_seconds, client.withdraw_seconds)


def _functions(client: LedgerClient) -> ContractFunctions:
    address = cast(ChecksumAddress, client.domain.ledger)
    return client.web3.eth.contract(address=address, abi=load_artifact().abi).functions


class StorageAuditor:
    """Holds what the events amount to against the ledger's own storage: an event that was left out shows here.

    Attributes:
        count: how many values were compared.
    """

    def __init__(self, client: LedgerClient, count: int = 0) -> None:
        self._client = client
        self._functions = _functions(client)
        self.count = count

    def compare_ended(self, query: QueryVerifier, ended: BlockPlace, head: int) -> None:
        """Compares a query that has ended, after which nothing changes it.

        Args:
            query: its state.
            ended: the block of its last event.
            head: the newest block, whose storage every node has.

        Raises:
            AuditFailure: they differ.
        """
        self._compare(_stored_query(query, self._call(head, "stateOf", query.query)), ended)

    def compare(self, verifier: TrailVerifier, block: BlockPlace) -> None:
        """Compares the ring and all open queries.

        Args:
            verifier: after the last event up to `block`.
            block: where the storage is read.

        Raises:
            AuditFailure: they differ.
        """
        counted = self.count
        try:
            self._compare_all(verifier, block)
        except AuditFailure:
            self.count = counted
            # Once a devnet was seen to answer for its newest block with the state of the one that it was mining.
            time.sleep(SETTLE_SECONDS)
            self._compare_all(verifier, block)

    def _compare_all(self, verifier: TrailVerifier, block: BlockPlace) -> None:
        for stored in self._read(verifier, block):
            self._compare(stored, block)

    def _compare(self, stored: _Stored, block: BlockPlace) -> None:
        for member, expected, found in zip(stored.members, stored.expected, stored.found, strict=True):
            self.count += 1
            if expected != found:
                place, name = Place(block.number), f"{stored.name}{member}"
                raise AuditFailure("the ledger's storage", name, show(expected), show(found), place)

    def _call(self, block: int, name: str, *arguments: object) -> tuple[object, ...]:
        with node_errors(self._client.url):
            value = self._functions[name](*arguments).call(block_identifier=block)
        return tuple(value) if isinstance(value, list | tuple) else (value,)

    def _read(self, verifier: TrailVerifier, block: BlockPlace) -> Iterator[_Stored]:
        ring, seating = verifier.ring, verifier.ring.seating
        yield _Stored("queryCount", [""], [verifier.query_count], self._call(block.number, "queryCount"))
        yield _Stored("mode", [""], [int(ring.mode)], self._call(block.number, "mode"))
        yield _stored_model(ring.model, self._call(block.number, "model"))
        yield _stored_arrangement(seating, self._call(block.number, "arrangement"))
        if seating is not None:
            for position in range(len(seating.arranged.seats)):
                yield _stored_seat(seating, Position(position), self._call(block.number, "seatAt", position))
        for worker, key in ring.sealing_keys.items():
            yield _Stored(f"sealingKeyOf({worker})", [""], [key], self._call(block.number, "sealingKeyOf", worker))
        for waiting in verifier.report().open_queries:
            query = verifier.open_query(waiting.query)
            if query is not None:
                yield _stored_query(query, self._call(block.number, "stateOf", waiting.query))


def _stored_model(model: ModelRegistered | None, found: tuple[object, ...]) -> _Stored:
    expected = [model.root, model.card, model.layers, model.version] if model else [ZERO, ZERO, 0, 0]
    return _Stored("model", [".root", ".card", ".layers", ".version"], expected, found)


def _stored_arrangement(seating: Seating | None, found: tuple[object, ...]) -> _Stored:
    members = [".id", ".modelVersion", ".seats", ".folded", ".authenticSince", ".recordedHash", ".currentHash"]
    expected: list[object] = [0, 0, 0, 0, 0, ZERO, ZERO]
    if seating is not None:
        arranged = seating.arranged
        place = [arranged.arrangement, arranged.model_version, len(arranged.seats), len(seating.hashes)]
        expected = [*place, seating.authentic_since, seating.recorded_hash, seating.current_hash]
    return _Stored("arrangement", members, expected, found)


def _stored_seat(seating: Seating, position: Position, found: tuple[object, ...]) -> _Stored:
    """A seat keeps what an older arrangement left in it until it attests anew: that is not compared."""
    worker, attested_in, round_, reported, leaf, block_hash = found
    arranged, has_attested = seating.arranged, position in seating.leaves
    expected = [arranged.seats[position], seating.rounds[position], seating.reported[position], has_attested]
    compared = [worker, round_, reported, attested_in == arranged.arrangement]
    members = [".worker", ".round", ".reported", ".attestedIn (this arrangement)"]
    if has_attested:
        members, expected, compared = [*members, ".leaf"], [*expected, seating.leaves[position]], [*compared, leaf]
    if position < len(seating.hashes):
        members, expected = [*members, ".blockHash"], [*expected, seating.hashes[position]]
        compared = [*compared, block_hash]
    return _Stored(f"seatAt({position})", members, expected, compared)


def _stored_query(query: QueryVerifier, found: tuple[object, ...]) -> _Stored:
    """One word stands for the whole state."""
    return _Stored(f"stateOf({query.query})", [""], [query.state().fold()], found)
