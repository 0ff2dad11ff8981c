"""What every rule of the verifier is written with: one event, its place, and a comparison that fails with both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from enum import Enum

from deepring_chain.crypto.signing import SignatureInvalid, SignedMessage, message_digest, recover_signer
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.types import ZERO, Address, Digest, Domain, Leaf


class Check(Enum):
    """The kinds of checks, as they are counted in a report."""

    ORDER = "order on the chain"
    DEADLINE = "deadlines"
    CONSEQUENCE = "derived events"
    NUMBERING = "numbers without a gap"
    REGISTRATION = "registrations"
    SEAT = "seats"
    SIGNATURE = "signatures"
    BLOCK_HASH = "block hashes (eq. 1-2)"
    RESTORE = "restores and their evidence"
    FLAG = "authenticity flags"
    MODE = "entries in query mode"
    PHASE = "phases of queries"
    PLACE = "places of entries"
    ROUTE = "route links"
    TRAIL = "trail hashes"
    VALIDATION = "expected outputs (eq. 13)"
    VERDICT = "verdicts"
    ANCHOR = "outputs that attempts go on from"


@dataclass(frozen=True)
class Terms:
    """What a ledger is deployed with.

    Attributes:
        domain: chain and ledger that the signatures must be for.
        ouroboros: the model owner's account.
        hop_seconds: from one hop to the next, or from when the ring became authentic.
        withdraw_seconds: from a query's submission until its querent may give it up.
    """

    domain: Domain
    ouroboros: Address
    hop_seconds: int
    withdraw_seconds: int


@dataclass(frozen=True)
class Witness:
    """What the chain tells beside an event.

    Attributes:
        time: Unix time of the event's block, in seconds.
        expected_leaves: of a restore order: the owner's evidence, which stands in the transaction's input.
    """

    time: int
    expected_leaves: tuple[Leaf, ...] = ()


@dataclass(frozen=True)
class Place:
    """A place on the chain; a transaction and a log are named where there are any."""

    block_number: int
    transaction_hash: Digest | None = None
    log_index: int | None = None

    @classmethod
    def of(cls, logged: LoggedEvent) -> Place:
        """Where an event stands."""
        return cls(logged.block_number, logged.transaction_hash, logged.log_index)

    def __str__(self) -> str:
        transaction = "" if self.transaction_hash is None else f", transaction 0x{self.transaction_hash.hex()}"
        log = "" if self.log_index is None else f", log {self.log_index}"
        return f"block {self.block_number}{transaction}{log}"


class AuditFailure(ProtocolError):
    """Public data contradict the protocol: the first wrong thing.

    Attributes:
        subject: what it is about: a query and hop, an arrangement and seat, a model version, a block.
        field: which field is wrong.
        expected, found: as text.
        place: where on the chain.
    """

    def __init__(self, subject: str, field: str, expected: str, found: str, place: Place) -> None:
        super().__init__(f"{subject}: {field} is wrong: expected {expected}, found {found} ({place})")
        self.subject, self.field, self.expected, self.found, self.place = subject, field, expected, found, place


def show(value: object) -> str:
    """A value for a message."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, Enum):
        return value.name
    return str(value)


class Step:
    """One event under examination.

    Args:
        logged: the event.
        witness: what the chain tells beside it.
        terms: of the ledger; a signature must be for its domain.
        counts: how often each check was made, to be added to.
    """

    def __init__(self, logged: LoggedEvent, witness: Witness, terms: Terms, counts: Counter[Check]) -> None:
        self.logged = logged
        self.event_name = type(logged.event).__name__
        self.witness = witness
        self.time = witness.time
        self.terms = terms
        self._counts = counts

    def fail(self, subject: str, field: str, expected: str, found: str) -> AuditFailure:
        """The failure to raise."""
        return AuditFailure(subject, f"{self.event_name}.{field}", expected, found, Place.of(self.logged))

    def count(self, check: Check) -> None:
        """Counts a check that cannot fail by itself."""
        self._counts[check] += 1

    def equal(self, check: Check, subject: str, field: str, expected: object, found: object) -> None:
        """Counts the check; raises AuditFailure unless both values are the same."""
        self._counts[check] += 1
        if expected != found:
            raise self.fail(subject, field, show(expected), show(found))

    def member(self, check: Check, subject: str, field: str, allowed: Container[object], found: object) -> None:
        """Counts the check; raises AuditFailure unless `found` is one of `allowed`."""
        self._counts[check] += 1
        if found not in allowed:
            raise self.fail(subject, field, _listed(allowed), show(found))

    def require(self, check: Check, subject: str, field: str, holds: bool, expected: str, found: object) -> None:
        """Counts the check; raises AuditFailure unless it `holds`; `expected` says in words what must."""
        self._counts[check] += 1
        if not holds:
            raise self.fail(subject, field, expected, show(found))

    def nonzero(self, check: Check, subject: str, field: str, value: Digest) -> None:
        """Counts the check; raises AuditFailure for 32 zero bytes."""
        self.require(check, subject, field, value != ZERO, "a value other than zero", value)

    def signed(self, subject: str, message: SignedMessage, signature: bytes, field: str, signer: Address) -> None:
        """Counts the check; raises AuditFailure unless `signature` over `message` is `signer`'s."""
        self._counts[Check.SIGNATURE] += 1
        try:
            found = recover_signer(self.terms.domain, message, signature)
        except SignatureInvalid as error:
            raise self.fail(subject, field, f"a signature of {signer}", str(error)) from None
        if found != signer:
            raise self.fail(subject, field, f"a signature of {signer}", f"one of {found}")

    def digest(self, message: SignedMessage) -> Digest:
        """The EIP-712 digest of a message for this ledger."""
        return message_digest(self.terms.domain, message)


def _listed(allowed: Container[object]) -> str:
    if isinstance(allowed, range):
        return f"{allowed.start}..{allowed.stop - 1}"
    if isinstance(allowed, frozenset | set | tuple | list | dict):
        return " or ".join(sorted(show(value) for value in allowed))
    return str(allowed)
