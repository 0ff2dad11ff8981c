"""What the ouroboros and the workers have in common: a seat in the ring, its attestation, and its keys."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deepring_chain.actors.journal import Journal
from deepring_chain.actors.posting import DirectPosting, Posting
from deepring_chain.chain.ports import Ledger
from deepring_chain.crypto.keys import ActorKeys, sealing_pem
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.crypto.signing import sign_message
from deepring_chain.errors import ConfigError, ProtocolError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.protocol.block_hash import block_leaf
from deepring_chain.protocol.decide.seat import LeafPlace, find_challenge, seat_of
from deepring_chain.protocol.envelope import hop_context, open_output
from deepring_chain.protocol.ledger_state import ArrangementState, LedgerState
from deepring_chain.protocol.notes import open_notes
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.route import ArrangementNote, arrangement_context
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import Entry, decode_entry, encode_entry
from deepring_chain.protocol.validation import check_items, check_received
from deepring_chain.store.ports import BlobStore
from deepring_chain.telemetry.metrics import ActorMetrics, Phase
from deepring_chain.types import ArrangementId, Attestation, Challenge, Digest, LayerContent, TensorBytes, Update

LOG = logging.getLogger(__name__)

KEPT_ARRANGEMENTS = 16
"""Keys of so many arrangements before the current one are kept: a chain that is set back may need them again."""


@dataclass
class Member:
    """One block's keys, connections and private records.

    Attributes:
        keys: account and long-term sealing key.
        password: of the key files; seals the keys of each arrangement in the journal.
        client, follower: the ledger, and what it told so far.
        store: the ciphertext store.
        journal: this actor's write-ahead record.
        rng: source of randomness for orders; keys and salts come from the system.
        metrics: what the operator is shown.
        posting: how its updates reach the ledger.
    """

    keys: ActorKeys
    password: str
    client: Ledger
    follower: LedgerFollower
    store: BlobStore
    journal: Journal
    rng: random.Random = field(default_factory=random.SystemRandom)
    metrics: ActorMetrics = field(default_factory=ActorMetrics)
    posting: Posting = field(init=False)
    _sealing_keys: dict[ArrangementId, X25519PrivateKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.posting = DirectPosting(self.client)

    @property
    def state(self) -> LedgerState:
        """The ledger as last read."""
        return self.follower.state

    def open_sessions(self) -> list[Session]:
        """The queries that wait for somebody, oldest first: what the ledger tells, and what was relayed since."""
        self.posting.forget_ended(self.state)
        return [self.posting.view(session) for session in self.state.open_sessions()]

    def shown(self, session: Session) -> QueryState:
        """The session's state, as whoever acts on it shows it to the ledger."""
        return session.state(self.client.block_time)

    def sealing_key(self, arrangement: ArrangementId) -> X25519PrivateKey:
        """This block's key of one arrangement; made and kept when first asked for.

        Raises:
            ConfigError: the journal holds something else, or under another password.
        """
        known = self._sealing_keys.get(arrangement)
        if known is None:
            known = self._sealing_keys[arrangement] = self._read_sealing_key(arrangement)
        return known

    def _read_sealing_key(self, arrangement: ArrangementId) -> X25519PrivateKey:
        pem = self.journal.record_once(f"sealing-key/{arrangement}", self._new_sealing_key)
        try:
            key = load_pem_private_key(pem, self.password.encode())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigError(
                f"sealing key of arrangement {arrangement}: does not open; restore the journal, or name its password"
            ) from None
        if not isinstance(key, X25519PrivateKey):
            raise ConfigError(f"sealing key of arrangement {arrangement}: not an X25519 key; restore the journal")
        return key

    def _new_sealing_key(self) -> bytes:
        return sealing_pem(X25519PrivateKey.generate(), self.password)

    def forget_old_keys(self) -> None:
        """Deletes the keys of arrangements that no open query needs (paper 3.4.3: keys change with the order).

        Not at once: where a reorganization brings an arrangement back, what is sealed to its keys comes back too.
        """
        current = self.state.arrangement
        if current is None:
            return
        needed = {a for session in self.state.open_sessions() for a in session.arrangements.values()}
        oldest = min({current.arranged.arrangement - KEPT_ARRANGEMENTS, *needed})
        for key in self.journal.keys("sealing-key/"):
            if int(key.rpartition("/")[2]) < oldest:
                self.journal.forget(key)
        # Not only those that were just deleted: a lane may have read one before and kept it after.
        for arrangement in [arrangement for arrangement in list(self._sealing_keys) if arrangement < oldest]:
            self._sealing_keys.pop(arrangement, None)

    def read_output(self, update: Update, key: X25519PrivateKey, commitment_key: Digest, items: int) -> TensorBytes:
        """The recipient's check, and the referee's repetition of it: what a hop sent, held against its commitment.

        Args:
            update: the hop's accepted update.
            key: the sealing key that the envelope is for.
            commitment_key: `hop_key` of that hop.
            items: of the query.

        Raises:
            StoreError: the envelope is not to be had.
            ProtocolError: it does not open, is malformed, holds another number of items than the query has, or another
                output (`UnexpectedOutput`).
        """
        place = hop_context(self.client.domain, update.query, update.attempt, update.hop)
        with self.metrics.phase(Phase.STORE):
            envelope = self.store.get(update.envelope)
        with self.metrics.phase(Phase.OPEN):
            received = open_output(key, envelope, place)
            check_items(update.query, update.hop, received, items)
            check_received(update.query, update.hop, received, commitment_key, update.output)
        return received

    def sign_once(self, key: str, make: Callable[[], Entry], kind: type[Entry]) -> tuple[Entry, bytes]:
        """A signed entry: made and signed when first asked for, recorded before it leaves, then always the same.

        Args:
            key: the entry's place.
            make: the message to sign.
            kind: its type.
        """

        def sign() -> bytes:
            entry = make()
            return encode_entry(entry, sign_message(self.keys.account, self.client.domain, entry))

        return decode_entry(self.journal.record_once(key, sign), kind)

    def seat_due(self) -> LeafPlace | None:
        """Which leaf the current arrangement awaits of this block, if any."""
        return seat_of(self.keys.address, self.state.arrangement)

    def read_challenge(self, place: LeafPlace) -> Challenge:
        """The arrangement's challenge, from the note that was sealed to this block for its seat.

        Raises:
            StoreError: the notes are not to be had.
            ProtocolError: there is no note for this block in this seat.
        """
        info = arrangement_context(self.client.domain, place.arrangement)
        opened = open_notes(self.store.get(self.arranged().arranged.notes), self.keys.sealing, info)
        return find_challenge(self.keys.address, place, [ArrangementNote.decode(each) for each in opened])

    def sign_leaf(
        self, place: LeafPlace, challenge: Challenge, own: LayerContent, following: LayerContent
    ) -> tuple[Attestation, bytes]:
        """This block's signed leaf over the tensors in use (eq. 1)."""
        leaf = block_leaf(challenge, own, following)
        key = public_bytes(self.sealing_key(place.arrangement))
        attestation = Attestation(place.arrangement, place.position, place.round, leaf, key)
        self.forget_old_keys()
        LOG.info("arrangement %d: leaf of seat %d signed", place.arrangement, place.position)
        return attestation, sign_message(self.keys.account, self.client.domain, attestation)

    def arranged(self) -> ArrangementState:
        """The current arrangement.

        Raises:
            ProtocolError: there is none yet.
        """
        current = self.state.arrangement
        if current is None:
            raise ProtocolError("the ring is not arranged yet")
        return current
