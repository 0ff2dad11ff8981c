"""A scripted ring: real keys, signatures, routes and transactions around made-up leaves, commitments and blobs.

No model, no store, no torch. Everything is derived from names, so that two runs send the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.types import TxReceipt

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.deployment import Deadlines, deploy_ledger
from deepring_chain.chain.settlement import LedgerCall
from deepring_chain.crypto.signing import sign_message
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import Event
from deepring_chain.protocol.query_state import QueryState, stored_word
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.trail import start_trail
from deepring_chain.types import (
    NO_BLOB,
    NO_OUTPUT,
    NO_ROUTE,
    ZERO,
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    BlockHash,
    Digest,
    Domain,
    Hop,
    Leaf,
    Position,
    QueryId,
    QueryPhase,
    Question,
    RingMode,
    SealingKey,
    TrailHash,
)
from tests.chain.names import account_named, address_of, named, sealing_key_of
from tests.chain.query_driver import BRINGERS, ScriptedQuery
from tests.waiting import FOREVER

__all__ = [
    "BRINGERS",
    "Ledger",
    "ScriptedQuery",
    "ScriptedRing",
    "account_named",
    "address_of",
    "fund",
    "named",
    "sealing_key_of",
]

FUNDS = Web3.to_wei(10, "ether")

NO_QUERY = QueryState(QueryPhase.NONE, Attempt(0), Hop(0), 0, 0, 0, NO_ROUTE, NO_OUTPUT, TrailHash(ZERO))
"""What somebody might show of a query that nobody asked: the ledger holds no word that it could lead to."""


def leaf_named(arrangement: int, position: int, round_: int) -> Leaf:
    """The leaf of an intact block."""
    return Leaf(named(f"leaf {arrangement}/{position}/{round_}"))


def fund(web3: Web3, accounts: Sequence[LocalAccount]) -> None:
    """Gives each account play money from the node's first unlocked account."""
    rich = web3.eth.accounts[0]
    for account in accounts:
        sent = web3.eth.send_transaction({"from": rich, "to": account.address, "value": FUNDS})
        web3.eth.wait_for_transaction_receipt(sent, FOREVER, 0.005)


class Ledger:
    """One deployed ledger: raw reads for the tests, and a client for each account."""

    def __init__(self, web3: Web3, url: str, address: Address, first_block: int) -> None:
        artifact = load_artifact()
        self.web3, self.url, self.address, self.first_block = web3, url, address, first_block
        self.domain = Domain(web3.eth.chain_id, address)
        self._contract = web3.eth.contract(address=address, abi=artifact.abi, decode_tuples=True)  # type: ignore[call-overload]
        self._clients: dict[str, LedgerClient] = {}
        self._reader = LedgerClient.over(web3, url, address)
        self._follower = LedgerFollower(self._reader, first_block)

    @classmethod
    def deploy(cls, web3: Web3, url: str, owner: LocalAccount, deadlines: Deadlines | None = None) -> Ledger:
        """Deploys a ledger that belongs to `owner`, who pays."""
        return cls(web3, url, *deploy_ledger(web3, url, owner, address_of(owner), deadlines))

    def by(self, account: LocalAccount) -> LedgerClient:
        """The client with which `account` sends."""
        if account.address not in self._clients:
            self._clients[account.address] = LedgerClient.over(self.web3, self.url, self.address, account)
        return self._clients[account.address]

    def send(self, account: LocalAccount, *calls: LedgerCall) -> TxReceipt:
        """What `account` wants to call, in one transaction; several calls by `multicall`."""
        client = self.by(account)
        if len(calls) == 1:
            return client._send(calls[0].function, *calls[0].arguments)
        return client._send("multicall", [self.encode(call) for call in calls])

    def encode(self, call: LedgerCall) -> bytes:
        """A call as the transaction's input has it."""
        return bytes.fromhex(self._contract.encode_abi(call.function, list(call.arguments))[2:])

    def read(self, function: str, *arguments: object) -> Any:
        """What a view returns; structs as named tuples."""
        return self._contract.functions[function](*arguments).call()

    def query(self, query: int) -> QueryState:
        """A query as the events tell it; the word that the ledger stores must stand for just that."""
        session = self.session(query)
        state = session.state(self._reader.block_time) if session else NO_QUERY
        if stored_word(state if session else None) != self.word(query):
            raise AssertionError(f"query {query}: the events tell {state}, the ledger holds another state")
        return state

    def question(self, query: int) -> Question:
        """What was asked, and when."""
        session = self.session(query)
        return session.question(self._reader.block_time) if session else Question(NO_BLOB, SealingKey(ZERO), 0)

    def word(self, query: int) -> Digest:
        """What the ledger stores of a query."""
        return self._reader.state_of(QueryId(query))

    def session(self, query: int) -> Session | None:
        """A query as an actor follows it; None if nobody asked it."""
        self._follower.refresh()
        return self._follower.state.sessions.get(QueryId(query))

    def mode(self) -> RingMode:
        """The derived mode."""
        return RingMode(self.read("mode"))

    def time_of(self, receipt: TxReceipt) -> int:
        """Unix time of a transaction's block."""
        return int(self.web3.eth.get_block(receipt["blockNumber"])["timestamp"])

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

    def leaves(self, arrangement: int, rounds: Sequence[int] | None = None) -> list[Leaf]:
        """Leaf of each seat under an arrangement's challenge, in the rounds that the seats are in (0 if None)."""
        return [
            leaf_named(arrangement, position, round_) for position, round_ in enumerate(rounds or [0] * len(self.seats))
        ]

    def rounds(self) -> list[int]:
        """The round that each seat is in."""
        return [self.ledger.read("seatAt", position).round for position in range(len(self.seats))]

    def expected_leaves(self) -> list[Leaf]:
        """What the owner expects of each seat now."""
        return self.leaves(self.arrangement, self.rounds())

    def arrange(self, recorded_hash: BlockHash | None = None) -> TxReceipt:
        """Seats the ring anew and records the hash that its leaves will give, or another one."""
        following = self.arrangement + 1
        expected = recorded_hash or fold_leaves(self.leaves(following))[-1]
        return self.owner_client.arrange(self.seat_addresses, expected, named(f"arrangement notes {following}"))

    def attestation(self, position: int, **changes: Any) -> Attestation:
        """What the worker in a seat attests in the arrangement and round in force, with some fields changed."""
        current, round_ = self.arrangement, self.ledger.read("seatAt", position).round
        honest = Attestation(
            arrangement=current,
            position=Position(position),
            round=round_,
            leaf=leaf_named(current, position, round_),
            sealing_key=sealing_key_of(self.seats[position], current),
        )
        return replace(honest, **changes)

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

    def tamper(self, *positions: int) -> ScriptedRing:
        """Arranges anew; the blocks in these seats attest other parameters than recorded."""
        self.arrange()
        wrong = {position: {"leaf": named(f"tampered {position}")} for position in positions}
        self.post_attestations([self.attestation(p, **wrong.get(p, {})) for p in range(len(self.seats))])
        return self

    def order_restore(
        self, position: int, leaves: Sequence[Leaf] | None = None, renewed_hash: BlockHash | None = None
    ) -> TxReceipt:
        """Orders a restore, with the honest evidence or another."""
        expected = self.expected_leaves()
        rounds = self.rounds()
        rounds[position : position + 1] = [round_ + 1 for round_ in rounds[position : position + 1]]
        renewed = renewed_hash or fold_leaves(self.leaves(self.arrangement, rounds))[min(position, len(rounds) - 1)]
        evidence = expected[position:] if leaves is None else leaves
        pointer = named(f"parameters {self.arrangement}/{position}")
        return self.owner_client.order_restore(Position(position), evidence, renewed, pointer)

    def report(self, position: int, changed: str = "layer1.weight") -> TxReceipt:
        """The worker in a seat names what its restore changed."""
        return self.ledger.by(self.seats[position]).report_restore(Position(position), changed)

    def submit(self, querent: LocalAccount) -> ScriptedQuery:
        """Opens a query."""
        number = self.ledger.read("queryCount") + 1
        sealed_input, key = named(f"input {number}"), sealing_key_of(querent)
        query, receipt = self.ledger.by(querent).submit_query(sealed_input, key)
        question = Question(sealed_input, key, self.ledger.time_of(receipt))
        return ScriptedQuery(self, query, start_trail(query, address_of(querent), question), querent)
