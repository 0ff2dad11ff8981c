"""A query's state as the ledger holds it: in one word, which contracts/QueryBook.sol folds in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode as abi_encode

from deepring_chain.crypto.digest import keccak256
from deepring_chain.types import ZERO, Attempt, Digest, Hop, OutputCommitment, QueryPhase, RouteLink, TrailHash

_TYPES = ["uint8", "uint16", "uint16", "uint32", "uint32", "uint40", "bytes32", "bytes32", "bytes32"]


@dataclass(frozen=True)
class QueryState:
    """`ILedger.Query`: whoever acts on a query shows it to the ledger.

    Attributes:
        phase, attempt, hop: where the query stands; `hop` is the one that is due or in dispute.
        items: number of items in the query's batch; 0 before the first route.
        model_version: that the attempt's route was opened for; 0 before the first.
        touched_at: Unix time of the last step, in seconds; 0 when no hop is due any more.
        route: what is left of it.
        expected_output: H of the last accepted hop; zero before hop 0.
        trail: rolling hash over all accepted entries.
    """

    phase: QueryPhase
    attempt: Attempt
    hop: Hop
    items: int
    model_version: int
    touched_at: int
    route: RouteLink
    expected_output: OutputCommitment
    trail: TrailHash

    def as_struct(self) -> dict[str, Any]:
        """With the member names of the contract's ABI."""
        return {
            "phase": int(self.phase),
            "attempt": self.attempt,
            "hop": self.hop,
            "items": self.items,
            "modelVersion": self.model_version,
            "touchedAt": self.touched_at,
            "route": self.route,
            "expectedOutput": self.expected_output,
            "trail": self.trail,
        }

    def place(self) -> dict[str, Any]:
        """`ILedger.Place`: what of the state a hop's entry does not lead back to."""
        return {
            "attempt": self.attempt,
            "hop": self.hop,
            "items": self.items,
            "touchedAt": self.touched_at,
            "trail": self.trail,
        }

    def fold(self) -> Digest:
        """The word that the ledger stores: keccak256 of the ABI-encoded struct."""
        return keccak256(abi_encode(_TYPES, list(self.as_struct().values())))


def stored_word(state: QueryState | None) -> Digest:
    """What `ILedger.stateOf` returns; zero for a query that nobody asked."""
    return ZERO if state is None else state.fold()
