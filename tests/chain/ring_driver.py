"""A scripted ring: real keys, signatures, routes and transactions around made-up leaves, commitments and blobs.

No model, no store, no torch. Everything is derived from names, so that two runs send the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.types import TxReceipt

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.client import LedgerClient, deploy_ledger
from deepring_chain.crypto.signing import message_digest, sign_message
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import Event
from deepring_chain.protocol.route import build_route
from deepring_chain.protocol.trail import extend_trail, start_trail
from deepring_chain.protocol.update import sign_update
from deepring_chain.types import (
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    Delivery,
    Digest,
    Domain,
    Hop,
    Position,
    QueryId,
    RejectReason,
    RingMode,
    SignedUpdate,
    Update,
)

FUNDS = Web3.to_wei(10, "ether")


def named(label: str) -> Digest:
    """32 bytes that look random and are the same in every run."""
    return Digest(hashlib.sha256(label.encode()).digest())


def account_named(label: str) -> LocalAccount:
    """An account whose key follows from its name."""
    account: LocalAccount = Account.from_key(named(f"account {label}"))
    return account


def address_of(account: LocalAccount) -> Address:
    """The account's checksummed address."""
    return Address(account.address)


def sealing_key_of(account: LocalAccount, arrangement: int = 0) -> Digest:
    """A made-up X25519 key: the long-term one, or that of an arrangement."""
    return named(f"sealing key of {account.address} in arrangement {arrangement}")


def fund(web3: Web3, accounts: Sequence[LocalAccount]) -> None:
    """Gives each account play money from the node's first unlocked account."""
    rich = web3.eth.accounts[0]
    for account in accounts:
        sent = web3.eth.send_transaction({"from": rich, "to": account.address, "value": FUNDS})
        web3.eth.wait_for_transaction_receipt(sent, 20, 0.005)


class Ledger:
    """One deployed ledger: raw reads for the tests, and a client for each account."""

    def __init__(self, web3: Web3, url: str, address: Address, first_block: int) -> None:
        artifact = load_artifact()
        self.web3, self.url, self.address, self.first_block = web3, url, address, first_block
        self.domain = Domain(web3.eth.chain_id, address)
        self._contract = web3.eth.contract(address=address, abi=artifact.abi, decode_tuples=True)  # type: ignore[call-overload]
        self._clients: dict[str, LedgerClient] = {}

    @classmethod
    def deploy(cls, web3: Web3, url: str, owner: LocalAccount) -> Ledger:
        """Deploys a ledger that belongs to `owner`, who pays."""
        return cls(web3, url, *deploy_ledger(web3, url, owner, address_of(owner)))

    def by(self, account: LocalAccount) -> LedgerClient:
        """The client with which `account` sends."""
        if account.address not in self._clients:
            self._clients[account.address] = LedgerClient(self.web3, self.url, self.address, account)
        return self._clients[account.address]

    def read(self, function: str, *arguments: object) -> Any:
        """What a view returns; structs as named tuples."""
        return self._contract.functions[function](*arguments).call()

    def mode(self) -> RingMode:
        """The derived mode."""
        return RingMode(self.read("mode"))

    def events(self, receipt: TxReceipt) -> list[Event]:
        """The events of one transaction, in order."""
        number = receipt["blockNumber"]
        (client, *_) = self._clients.values()
        mined = client.events(number, number)
        return [logged.event for logged in mined if logged.transaction_hash == bytes(receipt["transactionHash"])]


@dataclass(frozen=True)
class ScriptedRing:
    """A ring on a ledger.

    Attributes:
        ledger: where it lives.
        owner: the ouroboros.
        workers: `workers[i - 1]` serves layer i. They sit in the opposite order, so that no seat is its hop.
    """

    ledger: Ledger
    owner: LocalAccount
    workers: tuple[LocalAccount, ...]

    @property
    def owner_client(self) -> LedgerClient:
        """The owner's client."""
        return self.ledger.by(self.owner)

    @property
    def seats(self) -> tuple[LocalAccount, ...]:
        """Who sits where, the owner first."""
        return (self.owner, *reversed(self.workers))

    @property
    def seat_addresses(self) -> tuple[Address, ...]:
        """The accounts of `seats`."""
        return tuple(address_of(seat) for seat in self.seats)

    @property
    def arrangement(self) -> ArrangementId:
        """The arrangement in force."""
        return ArrangementId(self.ledger.read("arrangement").id)

    def register_model(self, label: str = "model") -> TxReceipt:
        """Registers a model version with as many layers as there are workers."""
        return self.owner_client.register_model(named(f"{label} root"), named(f"{label} card"), len(self.workers))

    def admit(self) -> TxReceipt:
        """Admits everyone who gets a seat."""
        return self.owner_client.admit_workers(self.seat_addresses, [sealing_key_of(seat) for seat in self.seats])

    def leaves(self, arrangement: int) -> list[Digest]:
        """Leaf of each seat under an arrangement's challenge."""
        return [named(f"leaf {arrangement}/{position}") for position in range(len(self.seats))]

    def arrange(self, recorded_hash: Digest | None = None) -> TxReceipt:
        """Seats the ring anew and records the hash that its leaves will give, or another one."""
        following = self.arrangement + 1
        expected = recorded_hash or fold_leaves(self.leaves(following))[-1]
        return self.owner_client.arrange(self.seat_addresses, expected, named(f"arrangement notes {following}"))

    def attestation(self, position: int) -> Attestation:
        """What the worker in a seat attests in the arrangement in force."""
        current = self.arrangement
        key = sealing_key_of(self.seats[position], current)
        return Attestation(current, Position(position), self.leaves(current)[position], key)

    def sign_attestation(self, attestation: Attestation, account: LocalAccount | None = None) -> bytes:
        """The signature of the worker in that seat, or of another account."""
        return sign_message(account or self.seats[attestation.position], self.ledger.domain, attestation)

    def attest(self, *positions: int) -> TxReceipt:
        """Attests these seats in one transaction, which the first of them sends."""
        return self.post_attestations([self.attestation(position) for position in positions])

    def post_attestations(self, attestations: Sequence[Attestation]) -> TxReceipt:
        """Signs and posts in one transaction."""
        signatures = [self.sign_attestation(attestation) for attestation in attestations]
        sender = self.ledger.by(self.seats[attestations[0].position])
        return sender.attest(attestations, signatures, len(self.seats))

    def make_authentic(self) -> ScriptedRing:
        """Brings a fresh ledger to query mode."""
        self.register_model()
        self.admit()
        self.arrange()
        self.attest(*range(len(self.seats)))
        return self

    def submit(self, querent: LocalAccount) -> ScriptedQuery:
        """Opens a query."""
        number = self.ledger.read("queryCount") + 1
        sealed_input, key = named(f"input {number}"), sealing_key_of(querent)
        query, _ = self.ledger.by(querent).submit_query(sealed_input, key)
        return ScriptedQuery(self, query, start_trail(query, address_of(querent), sealed_input, key))


@dataclass
class ScriptedQuery:
    """A query of a scripted ring, and what its next honest entry is.

    Attributes:
        ring: the ring.
        query: its id.
        trail: the trail so far, computed here and never read from the ledger.
        hop: the hop that is due.
    """

    ring: ScriptedRing
    query: QueryId
    trail: Digest
    hop: Hop = field(default=Hop(0))
    attempt: Attempt = field(default=Attempt(1))
    signers: tuple[LocalAccount, ...] = field(init=False)
    salts: list[Digest] = field(init=False)
    links: list[Digest] = field(init=False)

    def __post_init__(self) -> None:
        self.signers = (self.ring.owner, *self.ring.workers)
        self.salts = [named(f"salt {self.query}/{hop}") for hop in range(len(self.signers))]
        self.links = build_route([address_of(signer) for signer in self.signers], self.salts)

    @property
    def signer(self) -> LocalAccount:
        """Whose turn it is."""
        return self.signers[self.hop]

    @property
    def state(self) -> Any:
        """The query as the ledger holds it."""
        return self.ring.ledger.read("queryAt", self.query)

    def output(self, hop: int) -> Digest:
        """The commitment to a hop's output."""
        return named(f"output {self.query}/{hop}")

    def reject(self, reason: RejectReason = RejectReason.MALFORMED) -> TxReceipt:
        """Turns the query down."""
        return self.ring.owner_client.reject_query(self.query, reason)

    def open_route(self) -> ScriptedQuery:
        """Commits the route."""
        self.ring.owner_client.open_route(self.query, self.links[0], named(f"route notes {self.query}"))
        return self

    def update(self, **changes: Any) -> Update:
        """The entry that is due, with some fields changed before it is signed."""
        honest = Update(
            query=self.query,
            attempt=self.attempt,
            hop=self.hop,
            envelope=named(f"envelope {self.query}/{self.hop}"),
            output=self.output(self.hop),
            next_output=self.output(self.hop + 1),
            trail=self.trail,
        )
        return replace(honest, **changes)

    def sign(self, update: Update, account: LocalAccount | None = None, domain: Domain | None = None) -> SignedUpdate:
        """The update with the opening of the link that is due, signed by whose turn it is or by another."""
        rest = self.links[self.hop + 1]
        return sign_update(
            account or self.signer, domain or self.ring.ledger.domain, update, self.salts[self.hop], rest
        )

    def post(self, carrier: LocalAccount | None = None, **changes: Any) -> TxReceipt:
        """Posts the entry that is due, through its signer's account or another's, and moves on."""
        signed = self.sign(self.update(**changes))
        receipt = self.ring.ledger.by(carrier or self.signer).post_update(signed)
        digest = message_digest(self.ring.ledger.domain, signed.update)
        self.trail = extend_trail(self.trail, digest, address_of(self.signer))
        self.hop = Hop(self.hop + 1)
        return receipt

    def advance(self, hop: int) -> ScriptedQuery:
        """Posts honest updates until `hop` is due."""
        while self.hop < hop:
            self.post()
        return self

    def compute(self) -> ScriptedQuery:
        """Opens the route and posts all updates."""
        return self.open_route().advance(len(self.signers))

    def delivery(self, **changes: Any) -> Delivery:
        """The closing entry, with some fields changed before it is signed."""
        answer, output = named(f"answer {self.query}"), self.output(len(self.signers))
        return replace(Delivery(self.query, self.attempt, answer, output, self.trail), **changes)

    def sign_delivery(self, delivery: Delivery) -> bytes:
        """The owner's signature."""
        return sign_message(self.ring.owner, self.ring.ledger.domain, delivery)

    def deliver(self, **changes: Any) -> TxReceipt:
        """Posts the closing entry."""
        delivery = self.delivery(**changes)
        receipt = self.ring.owner_client.deliver(delivery, self.sign_delivery(delivery))
        digest = message_digest(self.ring.ledger.domain, delivery)
        self.trail = extend_trail(self.trail, digest, address_of(self.ring.owner))
        return receipt

    def dispute(self) -> ScriptedQuery:
        """Brings a submitted query to a recorded violation of eq. 13 at hop 1."""
        self.open_route().advance(1).post(output=named("another output"))
        return self


BRINGERS: dict[str, Callable[[ScriptedQuery], object]] = {
    "SUBMITTED": lambda query: query,
    "ROUTED": ScriptedQuery.open_route,
    "COMPUTED": ScriptedQuery.compute,
    "DELIVERED": lambda query: query.compute().deliver(),
    "DISPUTED": ScriptedQuery.dispute,
    "REJECTED": ScriptedQuery.reject,
}
"""What brings a submitted query to each phase, by the name of the phase."""
