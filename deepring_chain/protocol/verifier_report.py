"""What a verifier has found, and what it knows between two blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepring_chain.protocol.audit_step import Check
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.protocol.verifier_query import QueryVerifier
from deepring_chain.protocol.verifier_ring import RingVerifier
from deepring_chain.types import Hop, QueryId, QueryPhase, RingMode


@dataclass(frozen=True)
class OpenQuery:
    """A query that waits: `next_hop` of `hops` is due; both 0 before its route is opened."""

    query: QueryId
    phase: QueryPhase
    next_hop: Hop
    hops: int


@dataclass(frozen=True)
class TrailReport:
    """What was checked.

    Attributes:
        events: how many of each kind.
        checks: how many of each kind of check.
        ended: how many queries ended in each phase.
        open_queries: those that wait; not a failure.
        mode: of the ring after the last event.
    """

    events: Mapping[str, int]
    checks: Mapping[Check, int]
    ended: Mapping[QueryPhase, int]
    open_queries: tuple[OpenQuery, ...]
    mode: RingMode


@dataclass(frozen=True)
class TrailState:
    """All that a verifier knows between two blocks; what it says is `TrailVerifier`'s.

    Attributes:
        last, last_time: the last event, and the Unix time of its block.
        finished_transactions: of that block.
        checks, events, ended: counts.
        queries: those that are open.
        ring: the ring.
        query_count: how many queries were submitted.
    """

    last: LoggedEvent | None
    last_time: int
    finished_transactions: frozenset[bytes]
    checks: dict[Check, int]
    events: dict[str, int]
    ended: dict[QueryPhase, int]
    queries: tuple[QueryVerifier, ...]
    ring: RingVerifier
    query_count: int
