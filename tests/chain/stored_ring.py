"""A scripted ring whose pointers point to real blobs: sealed, and of the right format, around made-up content."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account.signers.local import LocalAccount

from deepring_chain.audit.auditor import AuditReport, audit
from deepring_chain.chain.client import LedgerClient
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.model.card import ModelCard
from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.envelope import seal_content
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.protocol.evidence import seal_shared
from deepring_chain.protocol.notes import seal_notes
from deepring_chain.protocol.trail import start_trail
from deepring_chain.store.content import ContentStore
from deepring_chain.types import BlockHash, Complaint, Delivery, Digest, Pointer, Position, Question, Update, Verdict
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


def evidence_of(content: str) -> bytes:
    """A verdict's evidence."""
    return seal_shared([RECIPIENT], content.encode(), b"place")


@dataclass
class StoredRing:
    """A scripted ring, its store, and what lies in it.

    Attributes:
        pointers: digest of each blob, by what it is: "card", "envelope 1/1/0" (query, attempt, hop), ...
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

    def put(self, name: str, blob: bytes) -> Pointer:
        """Stores a blob under a name."""
        self.pointers[name] = self.store.put(blob)
        return Pointer(self.pointers[name])

    def register(self, card: bytes | None = None) -> StoredRing:
        """Registers a model and everyone."""
        layers = len(self.ring.workers)
        pointer = self.put("card", card or card_of(layers))
        self.ring.owner_client.register_model(named("root"), pointer, layers)
        self.ring.admit()
        return self

    def arrange(
        self, notes: bytes | None = None, recorded: BlockHash | None = None, tampered: Sequence[int] = ()
    ) -> StoredRing:
        """Seats the ring anew; all attest, the seats in `tampered` what the owner does not expect."""
        following = self.ring.arrangement + 1
        blob = notes or notes_of(f"challenge {following}", len(self.ring.workers))
        expected = recorded or fold_leaves(self.ring.leaves(following))[-1]
        pointer = self.put(f"arrangement notes {following}", blob)
        self.ring.owner_client.arrange(self.ring.seat_addresses, expected, pointer)
        for positions in ((2,), (3, 0, 1)):
            wrong = {position: {"leaf": named(f"tampered {position}")} for position in tampered}
            self.ring.post_attestations(
                [self.ring.attestation(position, **wrong.get(position, {})) for position in positions]
            )
        return self

    def order_restore(self, position: int, parameters: bytes | None = None) -> None:
        """Orders the restore of a seat."""
        expected, rounds = self.ring.expected_leaves(), self.ring.rounds()
        rounds[position] += 1
        renewed = fold_leaves(self.ring.leaves(self.ring.arrangement, rounds))[position]
        name = f"parameters {self.ring.arrangement}/{position}"
        pointer = self.put(name, parameters or envelope_of(name))
        self.ring.owner_client.order_restore(Position(position), expected[position:], renewed, pointer)

    def submit(self, sealed_input: bytes | None = None) -> StoredQuery:
        """Opens a query."""
        number = self.ring.ledger.read("queryCount") + 1
        pointer = self.put(f"input {number}", sealed_input or envelope_of(f"input {number}"))
        return self.submit_pointer(pointer)

    def submit_pointer(self, pointer: Pointer) -> StoredQuery:
        """Opens a query whose input is wherever `pointer` leads."""
        key = named("querent's key")
        query, receipt = self.ring.ledger.by(self.querent).submit_query(pointer, key)
        question = Question(pointer, key, self.ring.ledger.time_of(receipt))
        trail = start_trail(query, address_of(self.querent), question)
        return StoredQuery(self.ring, query, trail, self.querent, stored=self)


@dataclass
class StoredQuery(ScriptedQuery):
    """A query whose entries point to real blobs. A test may name another pointer, or put another blob in `blobs`.

    Attributes:
        blobs: what to store instead of the usual, by the same names as in `StoredRing.pointers`.
    """

    stored: StoredRing = field(kw_only=True)
    blobs: dict[str, bytes] = field(default_factory=dict, kw_only=True)

    def put(self, name: str) -> Pointer:
        """Stores an envelope, or what the test wants in its place."""
        return self.stored.put(name, self.blobs.get(name, envelope_of(name)))

    @property
    def notes(self) -> Pointer:
        """The attempt's route notes, one for each hop that is left and is not the ouroboros's."""
        name = f"route notes {self.query}/{self.attempt}"
        receivers = len(self.signers) - max(1, self.hop)
        return self.stored.put(name, self.blobs.get(name, notes_of(name, receivers)))

    def update(self, **changes: Any) -> Update:
        """The entry that is due."""
        if "envelope" not in changes:
            changes["envelope"] = self.put(f"envelope {self.query}/{self.attempt}/{self.hop}")
        return super().update(**changes)

    def delivery(self, **changes: Any) -> Delivery:
        """The closing entry."""
        if "answer" not in changes:
            changes["answer"] = self.put(f"answer {self.query}/{self.attempt}")
        return super().delivery(**changes)

    def complaint(self, **changes: Any) -> Complaint:
        """The complaint of whose turn it is."""
        if "evidence" not in changes:
            changes["evidence"] = self.put(f"complaint {self.query}/{self.attempt}")
        return super().complaint(**changes)

    def verdict(self, **changes: Any) -> Verdict:
        """The verdict against the sender."""
        name = f"verdict {self.query}/{self.attempt}"
        if "evidence" not in changes:
            changes["evidence"] = self.stored.put(name, self.blobs.get(name, evidence_of(name)))
        return super().verdict(**changes)


def open_client(stored: StoredRing) -> LedgerClient:
    """A connection without any key."""
    ledger = stored.ring.ledger
    return LedgerClient.open(ledger.url, ledger.address)


def events_of(stored: StoredRing) -> list[LoggedEvent]:
    """All events of its ledger."""
    client = open_client(stored)
    return client.events(stored.ring.ledger.first_block, client.head().number)


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
    stored.submit().compute().deliver()
