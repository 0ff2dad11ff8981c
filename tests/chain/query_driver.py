"""A scripted query: every entry that the actors sign, over as many attempts as it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from eth_account.signers.local import LocalAccount
from web3.types import TxReceipt

from deepring_chain.chain.settlement import Settlement
from deepring_chain.crypto.signing import SignedMessage, message_digest, sign_message
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.route import build_route
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, extend_trail
from deepring_chain.protocol.update import sign_update
from deepring_chain.types import (
    NO_ROUTE,
    ZERO,
    Attempt,
    Complaint,
    ComplaintKind,
    Delivery,
    Digest,
    Domain,
    Hop,
    OutputCommitment,
    Pointer,
    QueryId,
    QueryPhase,
    Question,
    RejectReason,
    RouteLink,
    SignedUpdate,
    TrailEntry,
    TrailHash,
    Update,
    Verdict,
)
from tests.chain.clock import Clock
from tests.chain.names import account_named, address_of, named

if TYPE_CHECKING:
    from typing_extensions import Self

    from tests.chain.ring_driver import ScriptedRing


ITEMS = 3
"""In the batch of a query that does not say otherwise."""


@dataclass(frozen=True)
class Entry:
    """What somebody signed and the ledger accepted."""

    message: SignedMessage
    signer: LocalAccount

    def on_trail(self, domain: Domain) -> TrailEntry:
        """As the rolling hash has it."""
        return TrailEntry(message_digest(domain, self.message), address_of(self.signer))


@dataclass(frozen=True)
class Mark:
    """What the ledger puts on the trail by itself."""

    entry: TrailEntry
    message: None = None

    def on_trail(self, _domain: Domain) -> TrailEntry:
        """As the rolling hash has it."""
        return self.entry


@dataclass
class ScriptedQuery:
    """A query of a scripted ring, and what its next honest entry is.

    Attributes:
        ring: the ring.
        query: its id.
        trail: the trail so far, computed here and never read from the ledger.
        querent: who asked.
        hop: the hop that is due.
        attempt: the attempt that runs, or will run first.
        entries: what the trail binds, in order.
        items: number of items in the batch.
        signers: of each hop; a test may put a standby here before an attempt begins.
        salts, links: of the attempt's route, by hop.
    """

    ring: ScriptedRing
    query: QueryId
    trail: TrailHash
    querent: LocalAccount = field(default_factory=lambda: account_named("querent"))
    hop: Hop = field(default=Hop(0))
    attempt: Attempt = field(default=Attempt(1))
    entries: list[Entry | Mark] = field(default_factory=list)
    items: int = ITEMS
    signers: tuple[LocalAccount, ...] = field(init=False)
    salts: list[Digest] = field(init=False)
    links: list[RouteLink] = field(init=False)

    def __post_init__(self) -> None:
        self.signers = (self.ring.owner, *self.ring.workers)
        self.draw_route(Hop(0))

    # ------------------------------------------------------------------ reads

    @property
    def domain(self) -> Domain:
        """The ledger."""
        return self.ring.ledger.domain

    @property
    def signer(self) -> LocalAccount:
        """Whose turn it is; the owner's after the last hop."""
        return (*self.signers, self.ring.owner)[self.hop]

    @property
    def state(self) -> QueryState:
        """The query as the events tell it, which is what the ledger holds."""
        return self.ring.ledger.query(self.query)

    @property
    def place(self) -> tuple[object, ...]:
        """Phase, attempt, hop, route, expected output and trail, as the ledger holds them."""
        state = self.state
        return (state.phase, state.attempt, state.hop, state.route, state.expected_output, state.trail)

    def output(self, hop: int) -> OutputCommitment:
        """The commitment to a hop's output."""
        return OutputCommitment(named(f"output {self.query}/{hop}"))

    # ------------------------------------------------------------------ attempts

    def draw_route(self, first_hop: Hop) -> None:
        """Draws the route of `attempt`, from `first_hop` on."""
        self.hop = first_hop
        self.salts = [named(f"salt {self.query}/{self.attempt}/{hop}") for hop in range(len(self.signers))]
        signers = [address_of(signer) for signer in self.signers[first_hop:]]
        self.links = [NO_ROUTE] * first_hop + build_route(signers, self.salts[first_hop:])

    def reject(self, reason: RejectReason = RejectReason.MALFORMED) -> TxReceipt:
        """Turns the query down."""
        return self.ring.owner_client.reject_query(self.query, self.state, reason)

    def open_route(self) -> Self:
        """Commits the route."""
        self.ring.owner_client.open_route(self.query, self.state, self.links[0], self.notes, self.items)
        return self

    @property
    def notes(self) -> Pointer:
        """Pointer to the attempt's route notes."""
        return Pointer(named(f"route notes {self.query}/{self.attempt}"))

    def reopen(self) -> TxReceipt:
        """Begins the next attempt with hop 0."""
        self.attempt = Attempt(self.attempt + 1)
        self.draw_route(Hop(0))
        before = self.state
        receipt = self.ring.owner_client.open_route(self.query, before, self.links[0], self.notes, self.items)
        if before.model_version != self.state.model_version:
            self._mark(RENEWAL)
        return receipt

    def accepted(self, hop: int) -> Entry:
        """The last entry for a hop; that it holds eq. 13 is for the caller to see to."""
        entries = [e for e in self.entries if isinstance(e, Entry)]
        return [e for e in entries if isinstance(e.message, Update) and e.message.hop == hop][-1]

    def after(self, entry: Entry) -> list[TrailEntry]:
        """The trail after an entry."""
        start = next(index for index, each in enumerate(self.entries) if each is entry)
        return [each.on_trail(self.domain) for each in self.entries[start + 1 :]]

    def resume(self, first_hop: int) -> TxReceipt:
        """Begins the next attempt with `first_hop`, from the last entry for the hop before."""
        return self.resume_from(self.accepted(first_hop - 1))

    def resume_from(self, anchor: Entry, later: Sequence[TrailEntry] | None = None) -> TxReceipt:
        """Begins the next attempt after `anchor`, with the history since then or another."""
        update = anchor.message
        if not isinstance(update, Update):
            raise TypeError("an attempt goes on from an update")
        self.attempt = Attempt(self.attempt + 1)
        self.draw_route(Hop(update.hop + 1))
        history = self.after(anchor) if later is None else later
        client, link = self.ring.owner_client, self.links[self.hop]
        return client.resume_route(self.state, update, address_of(anchor.signer), history, link, self.notes)

    # ------------------------------------------------------------------ updates

    def update(self, **changes: Any) -> Update:
        """The entry that is due, with some fields changed before it is signed."""
        honest = Update(
            query=self.query,
            attempt=self.attempt,
            hop=self.hop,
            items=self.items,
            envelope=named(f"envelope {self.query}/{self.attempt}/{self.hop}"),
            output=self.output(self.hop),
            next_output=self.output(self.hop + 1),
            trail=self.trail,
        )
        return replace(honest, **changes)

    def sign(self, update: Update, account: LocalAccount | None = None, domain: Domain | None = None) -> SignedUpdate:
        """The update with the opening of the link that is due, signed by whose turn it is or by another."""
        rest = self.links[self.hop + 1]
        return sign_update(account or self.signer, domain or self.domain, update, self.salts[self.hop], rest)

    def post(self, carrier: LocalAccount | None = None, **changes: Any) -> TxReceipt:
        """Posts the entry that is due, through its signer's account or another's, and moves on."""
        signed, signer = self.sign(self.update(**changes)), self.signer
        receipt = self.ring.ledger.by(carrier or signer).post(self.state, signed)
        self._extend(signed.update, signer)
        self.hop = Hop(self.hop + 1)
        return receipt

    def carry(self, *updates: SignedUpdate, state: QueryState | None = None) -> TxReceipt:
        """Posts through an account that has nothing to do with the hops; the script stays where it is."""
        return self.ring.owner_client.post(state or self.state, *updates)

    def sign_run(self, end: int | None = None) -> list[SignedUpdate]:
        """Honest updates of the hops from the one that is due to before `end`, signed one after the other."""
        updates = []
        while self.hop < (len(self.signers) if end is None else end):
            signed, signer = self.sign(self.update()), self.signer
            self._extend(signed.update, signer)
            self.hop = Hop(self.hop + 1)
            updates.append(signed)
        return updates

    def advance(self, hop: int) -> Self:
        """Posts honest updates until `hop` is due."""
        while self.hop < hop:
            self.post()
        return self

    def compute(self) -> Self:
        """Opens the route and posts all updates."""
        return self.open_route().advance(len(self.signers))

    def delivery(self, **changes: Any) -> Delivery:
        """The closing entry, with some fields changed before it is signed."""
        answer, output = named(f"answer {self.query}"), self.output(len(self.signers))
        return replace(Delivery(self.query, self.attempt, answer, output, self.trail), **changes)

    def sign_delivery(self, delivery: Delivery) -> bytes:
        """The owner's signature."""
        return sign_message(self.ring.owner, self.domain, delivery)

    def sign_answer(self, state: QueryState | None = None) -> tuple[QueryState, Delivery, bytes]:
        """The honest closing entry, with the state before it; moves on."""
        delivery = self.delivery()
        signed = (state or self.state, delivery, self.sign_delivery(delivery))
        self._extend(delivery, self.ring.owner)
        return signed

    def deliver(self, **changes: Any) -> TxReceipt:
        """Posts the closing entry."""
        delivery = self.delivery(**changes)
        receipt = self.ring.owner_client.deliver(self.state, delivery, self.sign_delivery(delivery))
        self._extend(delivery, self.ring.owner)
        if delivery.output != self.output(len(self.signers)):
            self._mark(VIOLATION)
        return receipt

    # ------------------------------------------------------------------ disputes

    def complaint(self, **changes: Any) -> Complaint:
        """What the recipient whose turn it is complains of, with some fields changed before it is signed."""
        honest = Complaint(
            query=self.query,
            attempt=self.attempt,
            hop=self.hop,
            kind=ComplaintKind.UNREADABLE,
            evidence=named(f"key of hop {self.hop}"),
            trail=self.trail,
        )
        return replace(honest, **changes)

    @property
    def opening(self) -> tuple[Digest, RouteLink]:
        """Salt and rest that open the link which is due; zero after the last hop."""
        return (*self.salts, ZERO)[self.hop], (*self.links, NO_ROUTE)[self.hop + 1]

    def complain(self, account: LocalAccount | None = None, **changes: Any) -> TxReceipt:
        """Posts the complaint of whose turn it is, or of another."""
        complaint, signer = self.complaint(**changes), account or self.signer
        signature = sign_message(signer, self.domain, complaint)
        receipt = self.ring.ledger.by(signer).complain(self.state, complaint, *self.opening, signature)
        self._extend(complaint, signer)
        return receipt

    def verdict(self, **changes: Any) -> Verdict:
        """The verdict against the sender, with some fields changed before it is signed."""
        honest = Verdict(
            query=self.query,
            attempt=self.attempt,
            hop=self.hop,
            sender_guilty=True,
            receiver_guilty=False,
            evidence=named(f"finding {self.query}/{self.attempt}"),
            trail=self.trail,
        )
        return replace(honest, **changes)

    def judge(self, **changes: Any) -> TxReceipt:
        """Posts the owner's verdict."""
        verdict = self.verdict(**changes)
        signature = sign_message(self.ring.owner, self.domain, verdict)
        receipt = self.ring.owner_client.judge(self.state, verdict, signature)
        self._extend(verdict, self.ring.owner)
        return receipt

    def contradict(self, **changes: Any) -> TxReceipt:
        """Posts an output for the hop that is due which the hop before did not expect: that hop stays due."""
        hop = self.hop
        receipt = self.post(output=named("another output"), **changes)
        self._mark(VIOLATION)
        self.hop = hop
        return receipt

    def dispute(self) -> Self:
        """Brings a submitted query to a recorded violation of eq. 13 at hop 1."""
        self.open_route().advance(1).contradict()
        return self

    # ------------------------------------------------------------------ deadlines

    def time_out(self, account: LocalAccount | None = None) -> TxReceipt:
        """Ends the attempt, whenever it may be."""
        return self.ring.ledger.by(account or self.querent).time_out(self.query, self.state)

    def let_time_out(self) -> TxReceipt:
        """Lets the hop that is due miss its deadline."""
        self._wait("hopSeconds")
        return self.time_out()

    def withdraw(self, account: LocalAccount | None = None) -> TxReceipt:
        """Gives the query up, whenever it may be."""
        client = self.ring.ledger.by(account or self.querent)
        return client.withdraw_query(self.query, self.state, self.question, self.history)

    @property
    def question(self) -> Question:
        """What was asked, and when."""
        return self.ring.ledger.question(self.query)

    @property
    def history(self) -> list[TrailEntry]:
        """The whole trail after the question."""
        return [each.on_trail(self.domain) for each in self.entries]

    def wait_and_withdraw(self) -> TxReceipt:
        """Gives the query up after the long deadline."""
        self._wait("withdrawSeconds")
        return self.withdraw()

    def _wait(self, deadline: str) -> None:
        Clock(self.ring.ledger.web3).advance(self.ring.ledger.read(deadline) + 1)

    def _extend(self, message: SignedMessage, signer: LocalAccount) -> None:
        self._add(Entry(message, signer))

    def _mark(self, mark: TrailEntry) -> None:
        self._add(Mark(mark))

    def _add(self, entry: Entry | Mark) -> None:
        on_trail = entry.on_trail(self.domain)
        self.trail = extend_trail(self.trail, on_trail.digest, on_trail.signer)
        self.entries.append(entry)


def settle(*queries: ScriptedQuery) -> TxReceipt:
    """Posts all hops of queries that are routed, each as one run, in one transaction of the owner's."""
    return _settle(queries, [Settlement((query.state, query.sign_run())) for query in queries])


def deliver_all(*queries: ScriptedQuery) -> TxReceipt:
    """Delivers the answers of computed queries in one transaction of the owner's."""
    return _settle(queries, [Settlement(delivery=query.sign_answer()) for query in queries])


def settle_whole(*queries: ScriptedQuery) -> TxReceipt:
    """Posts all hops and delivers the answers in one transaction of the owner's."""
    settlements = []
    for query in queries:
        before, updates = query.state, query.sign_run()
        last = updates[-1]
        after = replace(
            before,
            phase=QueryPhase.COMPUTED,
            hop=query.hop,
            touched_at=0,
            route=last.next_route,
            expected_output=last.update.next_output,
            trail=query.trail,
        )
        settlements.append(Settlement((before, updates), query.sign_answer(after)))
    return _settle(queries, settlements)


def _settle(queries: Sequence[ScriptedQuery], settlements: Sequence[Settlement]) -> TxReceipt:
    return queries[0].ring.owner_client.settle(settlements)


BRINGERS: dict[str, Callable[[ScriptedQuery], object]] = {
    "SUBMITTED": lambda query: query,
    "ROUTED": lambda query: query.open_route().advance(2),
    "COMPUTED": ScriptedQuery.compute,
    "DELIVERED": lambda query: query.compute().deliver(),
    "DISPUTED": ScriptedQuery.dispute,
    "REJECTED": ScriptedQuery.reject,
    "INTERRUPTED": lambda query: query.dispute().judge(),
    "WITHDRAWN": ScriptedQuery.wait_and_withdraw,
}
"""What brings a submitted query to each phase, by the name of the phase."""
