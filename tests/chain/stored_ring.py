"""A scripted ring whose pointers point to real blobs: sealed, and of the right format, around made-up content."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account.signers.local import LocalAccount

from deepring_chain.actors.auditor import AuditReport, audit
from deepring_chain.chain.client import LedgerClient
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.model.card import ModelCard
from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.envelope import seal_content
from deepring_chain.protocol.notes import seal_notes
from deepring_chain.protocol.trail import start_trail
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Digest
from tests.chain.ring_driver import ScriptedQuery, ScriptedRing, address_of, named

RECIPIENT = public_bytes(X25519PrivateKey.from_private_bytes(named("recipient")))


def card_of(layers: int) -> bytes:
    """A model card."""
    return ModelCard("scripted", (4,), 0.5, 0, ("a", "b"), 0.25, layers).encode()


def envelope_of(content: str) -> bytes:
    """An envelope."""
    return seal_content(RECIPIENT, content.encode(), b"place")


def notes_of(content: str, how_many: int) -> bytes:
    """A bundle of notes."""
    return seal_notes([(RECIPIENT, content.encode())] * how_many, b"place", random.Random(1))  # noqa: S311


@dataclass
class StoredRing:
    """A scripted ring, its store, and what lies in it.

    Attributes:
        pointers: digest of each blob, by what it is: "card", "envelope 1/0", ...
    """

    ring: ScriptedRing
    folder: Path
    querent: LocalAccount
    pointers: dict[str, Digest] = field(default_factory=dict)

    @property
    def store(self) -> ContentStore:
        """The store."""
        return ContentStore(str(self.folder))

    def file_of(self, name: str) -> Path:
        """Where a blob lies."""
        digest = self.pointers[name].hex()
        return self.folder / digest[:2] / digest

    def put(self, name: str, blob: bytes) -> Digest:
        """Stores a blob under a name."""
        self.pointers[name] = self.store.put(blob)
        return self.pointers[name]

    def register(self, card: bytes | None = None) -> StoredRing:
        """Registers a model and everyone."""
        layers = len(self.ring.workers)
        pointer = self.put("card", card or card_of(layers))
        self.ring.owner_client.register_model(named("root"), pointer, layers)
        self.ring.admit()
        return self

    def arrange(self, notes: bytes | None = None, recorded: Digest | None = None) -> StoredRing:
        """Seats the ring anew; all attest."""
        following = self.ring.arrangement + 1
        blob = notes or notes_of(f"challenge {following}", len(self.ring.workers))
        expected = recorded or fold_leaves(self.ring.leaves(following))[-1]
        pointer = self.put(f"arrangement notes {following}", blob)
        self.ring.owner_client.arrange(self.ring.seat_addresses, expected, pointer)
        self.ring.attest(2)
        self.ring.attest(3, 0, 1)
        return self

    def submit(self, sealed_input: bytes | None = None) -> ScriptedQuery:
        """Opens a query."""
        number = self.ring.ledger.read("queryCount") + 1
        pointer = self.put(f"input {number}", sealed_input or envelope_of(f"input {number}"))
        return self.submit_pointer(pointer)

    def submit_pointer(self, pointer: Digest) -> ScriptedQuery:
        """Opens a query whose input is wherever `pointer` leads."""
        key = named("querent's key")
        query, _ = self.ring.ledger.by(self.querent).submit_query(pointer, key)
        return ScriptedQuery(self.ring, query, start_trail(query, address_of(self.querent), pointer, key))

    def open_route(self, query: ScriptedQuery, notes: bytes | None = None) -> None:
        """Commits a route."""
        blob = notes or notes_of(f"route {query.query}", len(self.ring.workers))
        pointer = self.put(f"route notes {query.query}", blob)
        self.ring.owner_client.open_route(query.query, query.links[0], pointer)

    def post(self, query: ScriptedQuery, envelope: bytes | None = None, **changes: Digest) -> None:
        """Posts the hop that is due."""
        name = f"envelope {query.query}/{query.hop}"
        query.post(envelope=self.put(name, envelope or envelope_of(name)), **changes)

    def compute(self, query: ScriptedQuery) -> ScriptedQuery:
        """Opens the route and posts all hops."""
        self.open_route(query)
        for _ in query.signers:
            self.post(query)
        return query

    def deliver(self, query: ScriptedQuery, answer: bytes | None = None, **changes: Digest) -> None:
        """Posts the closing entry."""
        name = f"answer {query.query}"
        query.deliver(answer=self.put(name, answer or envelope_of(name)), **changes)


def open_client(stored: StoredRing) -> LedgerClient:
    """A connection without any key."""
    ledger = stored.ring.ledger
    return LedgerClient.open(ledger.url, ledger.address)


def audit_of(stored: StoredRing, client: LedgerClient | None = None) -> AuditReport:
    """What an auditor finds who connects anew, or through `client`."""
    return audit(client or open_client(stored), stored.store, stored.ring.ledger.first_block)


def failure_of(stored: StoredRing, client: LedgerClient | None = None) -> AuditFailure:
    """The first wrong thing."""
    report = audit_of(stored, client)
    assert not report.passed
    assert report.failure is not None
    return report.failure


def answer_one(stored: StoredRing) -> None:
    """One query from start to end."""
    stored.deliver(stored.compute(stored.submit()))
