"""A ring's condition as `deepring status` shows it and `deepring doctor` judges it: facts, without judgment.

None stands for what could not be found out: an operator may have a ring's folder, one actor's, or only addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from deepring_chain.chain.probe import AccountFacts, CodeFacts, NodeFacts
from deepring_chain.health.races import Races
from deepring_chain.types import Address, Attempt, Digest, Hop, Position, QueryId, QueryPhase, RingMode


@dataclass(frozen=True)
class Target:
    """What is to be looked at.

    Attributes:
        ring: a ring's folder.
        folder: one actor's folder.
        deployment: the deployment file, if there is one.
        rpc_url, chain_id, ledger, first_block, block_hash, store_url, is_own_devnet: as in `Deployment`.
    """

    ring: Path | None = None
    folder: Path | None = None
    deployment: Path | None = None
    rpc_url: str | None = None
    chain_id: int | None = None
    ledger: Address | None = None
    first_block: int | None = None
    block_hash: str | None = None
    store_url: str | None = None
    is_own_devnet: bool = False


class Life(Enum):
    """What is known of an actor's process on this machine."""

    RUNNING = "running"
    """It answers, and has looked at the chain lately."""
    STARTING = "starting"
    """Its process is there, and not ready yet."""
    STALLED = "stalled"
    """Its process is there, but does not answer or does not see the chain."""
    GONE = "gone"
    """It should run here, and does not."""
    ELSEWHERE = "not here"
    """Nothing says that it should run on this machine."""


class Role(Enum):
    """Of an account."""

    OUROBOROS = "ouroboros"
    WORKER = "worker"
    QUERENT = "querent"


class Awaited(Enum):
    """What a query waits for."""

    ARRANGEMENT = "the ring to be arranged"
    ATTESTATION = "an attestation"
    RESTORE = "a block to be restored"
    ROUTE = "a route"
    HOP = "a hop"
    DELIVERY = "the answer's delivery"
    VERDICT = "a verdict"


@dataclass(frozen=True)
class ProcessFacts:
    """An actor's process.

    Attributes:
        life: what is known of it.
        pid: its process.
        seconds_since_poll: since it last saw the chain.
        doing: the phase of work that it is in.
        troubles: what goes wrong, in its own words.
        is_announced: whether the node announces new blocks to it; if not, it polls. None if that is not known.
        owners: every living process of this machine that says that it runs this actor; one, if all is well.
    """

    life: Life = Life.ELSEWHERE
    pid: int | None = None
    seconds_since_poll: float | None = None
    doing: str | None = None
    troubles: tuple[str, ...] = ()
    is_announced: bool | None = None
    owners: tuple[int, ...] = ()


@dataclass(frozen=True)
class HostFacts:
    """The host of a ring's processes: whether it runs, and starts actors again that vanish."""

    is_alive: bool
    restarts: bool


@dataclass(frozen=True)
class ActorFacts:
    """One member of the ring, or its querent.

    Attributes:
        name: its folder's, or the first digits of its address.
        role, layer, seat: its part; a worker without a seat is a standby.
        address: its account.
        folder: where its files are, if they are here.
        bad_files: what is wrong with them, by file name.
        process: of a querent always that of `ProcessFacts()`.
        account: funds and nonces.
        last_block, last_time: of its last entry on the ledger.
    """

    name: str
    role: Role
    address: Address | None = None
    layer: int | None = None
    seat: Position | None = None
    folder: Path | None = None
    bad_files: dict[str, str] = field(default_factory=dict)
    process: ProcessFacts = ProcessFacts()
    account: AccountFacts | None = None
    last_block: int | None = None
    last_time: int | None = None


@dataclass(frozen=True)
class SeatFacts:
    """A seat of the ring: who sits there, whether it has attested, and how often it was restored."""

    position: Position
    address: Address
    has_attested: bool
    restores: int


@dataclass(frozen=True)
class QueryFacts:
    """A query that waits.

    Attributes:
        query, phase, attempt, next_hop, hops: as in `Session`.
        awaits: what for.
        whom: on whom, as far as that is known: who signs a hop is told to the model's owner alone.
        since: Unix time of its last event.
        deadline: Unix time after which its hop may be timed out.
        withdraw_after: Unix time after which its querent may give it up.
    """

    query: QueryId
    phase: QueryPhase
    attempt: Attempt
    next_hop: Hop
    hops: int
    awaits: Awaited
    whom: tuple[Address, ...]
    since: int | None = None
    deadline: int | None = None
    withdraw_after: int | None = None


@dataclass(frozen=True)
class RingFacts:
    """The ring as its ledger's events tell it.

    Attributes:
        mode: as the ledger derives it.
        ouroboros: the model's owner.
        model_version: the one in force; None before the first.
        arrangement: the one in force; None before the first.
        seats: in order.
        queries: how many there are by phase, ended ones included.
        waiting: the open queries.
        is_restoring: authenticity failed in this arrangement, and is not back yet.
        hop_seconds: the ledger's deadline for a hop.
        withdraw_seconds: until a querent may give a query up.
        since: Unix time of the last event of the ring itself, such as an attestation.
        races: recent arrangements that one ouroboros alone would not have made.
    """

    mode: RingMode
    ouroboros: Address
    model_version: int | None
    arrangement: int | None
    seats: tuple[SeatFacts, ...]
    queries: dict[QueryPhase, int]
    waiting: tuple[QueryFacts, ...]
    is_restoring: bool
    hop_seconds: int
    withdraw_seconds: int
    since: int | None = None
    races: Races = field(default_factory=Races)


@dataclass(frozen=True)
class LostBlob:
    """A blob that the ledger points to and the store does not give.

    Attributes:
        digest: its pointer.
        what: in words.
        is_needed: whether somebody still waits for it; else only the audit misses it.
    """

    digest: Digest
    what: str
    is_needed: bool


@dataclass(frozen=True)
class StoreFacts:
    """The ciphertext store.

    Attributes:
        url: without a password.
        trouble: why it cannot be read, in a sentence.
        checked: how many blobs were looked up.
        left_out: how many older ones were not.
        lost: those that are missing or damaged.
    """

    url: str
    trouble: str | None = None
    checked: int = 0
    left_out: int = 0
    lost: tuple[LostBlob, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """All that could be found out at one time.

    Attributes:
        target: what was looked at.
        taken_at: this machine's Unix time.
        host: the host of the ring's processes; None if it left no trace.
        node, code, ring, store: None where the target names none, or what they need is not there.
        ring_trouble: why the ledger's events could not be read.
        gas_price: what actors offer, in wei.
        actors: the ouroboros first, the querent last.
    """

    target: Target
    taken_at: float
    host: HostFacts | None = None
    node: NodeFacts | None = None
    code: CodeFacts | None = None
    ring: RingFacts | None = None
    ring_trouble: str | None = None
    store: StoreFacts | None = None
    gas_price: int | None = None
    actors: tuple[ActorFacts, ...] = ()

    @property
    def clock_skew(self) -> float | None:
        """Seconds by which the chain's clock is ahead of this machine's.

        A block's time says little on a chain that makes blocks only on demand: then only a time in the future counts.
        """
        if self.node is None or self.node.head_time is None:
            return None
        if self.node.pending_time is not None:
            return self.node.pending_time - self.taken_at
        return max(0.0, self.node.head_time - self.taken_at)

    def name_of(self, address: Address) -> str:
        """What an account is called."""
        return next((actor.name for actor in self.actors if actor.address == address), short_address(address))


def short_address(address: Address) -> str:
    """The beginning of an address, for tables."""
    return address[:10]
