"""The ledger's events as records, and where on the chain each stands. Fields are named as in `ILedger`."""

from __future__ import annotations

from dataclasses import dataclass

from deepring_chain.types import (
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    BlockHash,
    Complaint,
    Delivery,
    Digest,
    Hop,
    ModelRoot,
    OutputCommitment,
    Pointer,
    Position,
    QueryId,
    RejectReason,
    RouteLink,
    SealingKey,
    SignedUpdate,
    TrailHash,
    Verdict,
)


@dataclass(frozen=True)
class ModelRegistered:
    """A model version: manifest root, public card, number of layers."""

    version: int
    root: ModelRoot
    card: Pointer
    layers: int


@dataclass(frozen=True)
class WorkerAdmitted:
    """An account with its long-term X25519 key; the ouroboros's own is among them."""

    worker: Address
    sealing_key: SealingKey


@dataclass(frozen=True)
class RingArranged:
    """A new seating under a fresh challenge."""

    arrangement: ArrangementId
    model_version: int
    seats: tuple[Address, ...]
    recorded_hash: BlockHash
    notes: Pointer


@dataclass(frozen=True)
class BlockAttested:
    """A block's signed leaf."""

    attestation: Attestation
    worker: Address
    signature: bytes


@dataclass(frozen=True)
class BlockHashed:
    """HASH_j as the ledger derived it."""

    arrangement: ArrangementId
    position: Position
    block_hash: BlockHash


@dataclass(frozen=True)
class AuthenticityDerived:
    """The flag, once all leaves are in."""

    arrangement: ArrangementId
    is_authentic: bool
    recorded_hash: BlockHash
    recomputed_hash: BlockHash


@dataclass(frozen=True)
class RestoreOrdered:
    """The first block whose hash differs must be restored (paper 3.4.4)."""

    arrangement: ArrangementId
    position: Position
    worker: Address
    round: int
    recorded_hash: BlockHash
    recomputed_hash: BlockHash
    renewed_hash: BlockHash
    recorded_last: BlockHash
    parameters: Pointer


@dataclass(frozen=True)
class RestoreReported:
    """A restored worker named what had changed."""

    arrangement: ArrangementId
    position: Position
    worker: Address
    round: int
    changed: str


@dataclass(frozen=True)
class QuerySubmitted:
    """A query (eq. 3)."""

    query: QueryId
    querent: Address
    sealed_input: Pointer
    sealing_key: SealingKey
    trail: TrailHash


@dataclass(frozen=True)
class QueryRejected:
    """The ouroboros cannot use the input."""

    query: QueryId
    reason: RejectReason


@dataclass(frozen=True)
class RouteOpened:
    """A query's attempt with its committed route."""

    query: QueryId
    attempt: Attempt
    first_hop: Hop
    items: int
    route: RouteLink
    notes: Pointer


@dataclass(frozen=True)
class QueryResumed:
    """The attempt that was just opened goes on from an accepted update."""

    query: QueryId
    attempt: Attempt
    anchor_attempt: Attempt
    anchor_hop: Hop


@dataclass(frozen=True)
class UpdatePosted:
    """An accepted hop: the signed update and the trail after it."""

    signed: SignedUpdate
    signer: Address
    trail: TrailHash


@dataclass(frozen=True)
class OutputDisputed:
    """Eq. 13 failed between hop - 1 and hop."""

    query: QueryId
    attempt: Attempt
    hop: Hop
    expected: OutputCommitment
    actual: OutputCommitment


@dataclass(frozen=True)
class EnvelopeDisputed:
    """The recipient of a hop's envelope complains."""

    complaint: Complaint
    recipient: Address
    salt: Digest
    next_route: RouteLink
    signature: bytes
    trail: TrailHash


@dataclass(frozen=True)
class VerdictPosted:
    """The ouroboros judged a disputed edge."""

    verdict: Verdict
    signature: bytes
    trail: TrailHash


@dataclass(frozen=True)
class HopTimedOut:
    """A hop was not posted in time."""

    query: QueryId
    attempt: Attempt
    hop: Hop
    deadline: int


@dataclass(frozen=True)
class QueryWithdrawn:
    """The querent gave up."""

    query: QueryId


@dataclass(frozen=True)
class AnswerDelivered:
    """The closing entry (eq. 12). `delivery.trail` is not in the event: it is the query's trail before it."""

    query: QueryId
    attempt: Attempt
    answer: Pointer
    output: OutputCommitment
    signature: bytes
    trail: TrailHash

    def delivery(self, trail_before: TrailHash) -> Delivery:
        """The message that the ouroboros signed."""
        return Delivery(self.query, self.attempt, self.answer, self.output, trail_before)


Event = (
    ModelRegistered
    | WorkerAdmitted
    | RingArranged
    | BlockAttested
    | BlockHashed
    | AuthenticityDerived
    | RestoreOrdered
    | RestoreReported
    | QuerySubmitted
    | QueryRejected
    | RouteOpened
    | QueryResumed
    | UpdatePosted
    | OutputDisputed
    | EnvelopeDisputed
    | VerdictPosted
    | HopTimedOut
    | QueryWithdrawn
    | AnswerDelivered
)


@dataclass(frozen=True)
class LoggedEvent:
    """An event and its place.

    Attributes:
        event: the record.
        block_number, block_hash, transaction_hash, log_index: where it stands.
        part: which of the records that one log makes: a run of updates makes one for each hop.
    """

    event: Event
    block_number: int
    block_hash: Digest
    transaction_hash: Digest
    log_index: int
    part: int = 0


def query_of(event: Event) -> QueryId | None:
    """The query that an event belongs to, if it belongs to one."""
    match event:
        case UpdatePosted():
            return event.signed.update.query
        case EnvelopeDisputed():
            return event.complaint.query
        case VerdictPosted():
            return event.verdict.query
        case _:
            return getattr(event, "query", None)
