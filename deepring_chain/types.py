"""Names for the values that travel between the parts: ids, digests and frozen records, without behavior.

Digests, keys and addresses keep the form in which the ledger has them: 32 raw bytes, and EIP-55 checksummed text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NewType

Address = NewType("Address", str)
"""EIP-55 checksummed account or contract address."""

Digest = NewType("Digest", bytes)
"""32 bytes. What follows says of which kind; contracts/types/Types.sol has the same names, but for the challenge."""

Pointer = NewType("Pointer", Digest)
"""Points at a blob in the ciphertext store: the SHA-256 of the stored bytes."""

Leaf = NewType("Leaf", Digest)
"""Of a block: SHA-256 over the arrangement's challenge and the tensors that the block computes with."""

Challenge = NewType("Challenge", Digest)
"""Secret bytes, fresh in each arrangement and restore, under which a leaf is made."""

BlockHash = NewType("BlockHash", Digest)
"""HASH_j of the paper: the fold of all leaves up to seat j."""

RouteLink = NewType("RouteLink", Digest)
"""What is left of a query's route: a chain of Keccak-256 commitments, one link per hop."""

OutputCommitment = NewType("OutputCommitment", Digest)
"""Keyed commitment to a layer's output: to O_i, or H_i of the paper."""

TrailHash = NewType("TrailHash", Digest)
"""Rolling hash over a query and all its accepted entries."""

SealingKey = NewType("SealingKey", Digest)
"""X25519 public key (RFC 7748), the recipient of HPKE messages (RFC 9180)."""

ModelRoot = NewType("ModelRoot", Digest)
"""Root of a model's manifest: binds every tensor of every layer."""

QueryId = NewType("QueryId", int)
Attempt = NewType("Attempt", int)
Hop = NewType("Hop", int)
"""Place on a query's route: 0 is the ouroboros, i in 1..n is layer i, n + 1 the delivery."""

LayerIndex = NewType("LayerIndex", int)
"""Layer of the network: 1..n; 0 is the identity layer of the ouroboros (paper 3.3)."""

Position = NewType("Position", int)
"""Seat in the ring: 0 is the ouroboros, the workers follow in a random order."""

ArrangementId = NewType("ArrangementId", int)

ZERO = Digest(bytes(32))

NO_BLOB = Pointer(ZERO)
NO_ROUTE = RouteLink(ZERO)
"""What is left of a route after the last hop."""

NO_OUTPUT = OutputCommitment(ZERO)
"""What is expected of hop 0."""

MAX_LAYERS = 127
"""Layers of the largest ring that the ledger takes: seating it must fit into one transaction (EIP-7825)."""


class RingMode(IntEnum):
    """Mode of the ring, as `ILedger.RingMode`."""

    SETUP = 0
    ATTESTING = 1
    QUERY = 2
    TRACKING = 3


class QueryPhase(IntEnum):
    """Phase of a query, as `ILedger.QueryPhase`."""

    NONE = 0
    SUBMITTED = 1
    ROUTED = 2
    COMPUTED = 3
    DELIVERED = 4
    DISPUTED = 5
    REJECTED = 6
    INTERRUPTED = 7
    WITHDRAWN = 8


class RejectReason(IntEnum):
    """Why the ouroboros turned a query down, as `ILedger.RejectReason`."""

    UNDECRYPTABLE = 0
    MALFORMED = 1
    WRONG_SHAPE = 2
    BLOB_UNAVAILABLE = 3
    RING_FAULTY = 4


class ComplaintKind(IntEnum):
    """Why a recipient does not go on with the envelope that it got, as `ILedger.ComplaintKind`."""

    MISSING = 0
    UNREADABLE = 1
    ALTERED = 2
    UNABLE = 3


MAX_ITEMS = 2**32 - 1
"""Most items in one query's batch: `ILedger.Query.items` is a uint32."""


@dataclass(frozen=True)
class Domain:
    """Which ledger on which chain: the EIP-712 domain, bound into every signature and sealed message."""

    chain_id: int
    ledger: Address


@dataclass(frozen=True)
class TensorBytes:
    """A tensor outside of any framework.

    Attributes:
        dtype: "int8", "uint8", "int32".
        shape: sizes of the dimensions, outermost first.
        data: the elements in C order, little endian; a view of memory will do.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview


@dataclass(frozen=True)
class Update:
    """One hop's entry (paper 3.4.2), the EIP-712 message that its layer signs.

    `items` is the query's number of items: the first dimension of the tensor in the envelope, too.
    """

    query: QueryId
    attempt: Attempt
    hop: Hop
    items: int
    envelope: Pointer
    output: OutputCommitment
    next_output: OutputCommitment
    trail: TrailHash


@dataclass(frozen=True)
class SignedUpdate:
    """An update with what the ledger needs to check it: signature (65 bytes) and the opening of the route link."""

    update: Update
    signature: bytes
    salt: Digest
    next_route: RouteLink


@dataclass(frozen=True)
class Attestation:
    """A block's leaf under an arrangement's challenge, and the sealing key it uses until the next one.

    `round` counts the restores of the seat in this arrangement: each brings a fresh challenge.
    """

    arrangement: ArrangementId
    position: Position
    round: int
    leaf: Leaf
    sealing_key: SealingKey


@dataclass(frozen=True)
class Delivery:
    """The ouroboros's closing entry (eq. 12): pointer to the sealed answer and its own commitment to it."""

    query: QueryId
    attempt: Attempt
    answer: Pointer
    output: OutputCommitment
    trail: TrailHash


@dataclass(frozen=True)
class Complaint:
    """A recipient's complaint about the envelope of the hop before.

    `hop` is the recipient's own; `evidence` points to its sealing key of the arrangement, sealed to the ouroboros.
    """

    query: QueryId
    attempt: Attempt
    hop: Hop
    kind: ComplaintKind
    evidence: Pointer
    trail: TrailHash


@dataclass(frozen=True)
class Verdict:
    """The ouroboros's verdict on a disputed edge (hop - 1, hop): who of the two is guilty."""

    query: QueryId
    attempt: Attempt
    hop: Hop
    sender_guilty: bool
    receiver_guilty: bool
    evidence: Pointer
    trail: TrailHash


@dataclass(frozen=True)
class Question:
    """What a querent asked (eq. 3): the sealed input, its key for the answer, and the Unix time in seconds."""

    sealed_input: Pointer
    sealing_key: SealingKey
    submitted_at: int


@dataclass(frozen=True)
class TrailEntry:
    """An entry of a query's trail, as far as the rolling hash needs it: EIP-712 digest and signer."""

    digest: Digest
    signer: Address


@dataclass(frozen=True)
class LayerContent:
    """The canonical content of one layer, ready to be hashed without a copy.

    Attributes:
        index: the layer's place in the network.
        header: `encoding.layer_header` of the layer.
        tensors: views of the raw elements, in the header's order, over the very memory that the layer computes with.
    """

    index: LayerIndex
    header: bytes
    tensors: tuple[memoryview, ...]
