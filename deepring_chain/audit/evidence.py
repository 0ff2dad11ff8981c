"""Repeating verdicts: what an auditor does whom the ouroboros admitted to the evidence (docs/adr/0018).

It shares no code with the referee but hashes and seals: it follows the events by itself, opens the querent's own input
with the key that the evidence has, computes the layers anew if it was given the model, and derives who is guilty.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from deepring_chain.audit.replay import Dispute, LayerRunner, Replay
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.errors import ConfigError, ProtocolError
from deepring_chain.protocol.audit_step import AuditFailure, Place, Terms, show
from deepring_chain.protocol.events import (
    AnswerDelivered,
    BlockAttested,
    EnvelopeDisputed,
    LoggedEvent,
    ModelRegistered,
    OutputDisputed,
    QueryRejected,
    QuerySubmitted,
    QueryWithdrawn,
    RingArranged,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
    query_of,
)
from deepring_chain.protocol.evidence import Evidence, open_shared
from deepring_chain.protocol.restore import verdict_context
from deepring_chain.store.content import BlobFault, ContentStore
from deepring_chain.types import Address, Digest, ModelRoot, QueryId

MAX_POINTS = 100
"""So many open points are kept; memory must not grow with the trail."""


@dataclass(frozen=True)
class Admission:
    """What an admitted auditor has.

    Attributes:
        key: its X25519 key.
        model_root: root of the model that the ouroboros gave it; None without one.
        run: computes the outputs O_0 .. O_n of that model from an input.
    """

    key: X25519PrivateKey
    model_root: ModelRoot | None = None
    run: LayerRunner | None = None

    @property
    def public(self) -> Digest:
        """What the ouroboros admits."""
        return public_bytes(self.key)


@dataclass(frozen=True)
class EvidenceReport:
    """What came of the verdicts' evidence.

    Attributes:
        admitted: whether the audit had an auditor's key.
        has_model: whether it had the model.
        verdicts: how many there are; counted with a key only.
        replayed: how many were repeated from their evidence.
        recomputed: how many of these by running the layers.
        open_points: (what, who): what the evidence leaves open.
    """

    admitted: bool
    has_model: bool
    verdicts: int
    replayed: int
    recomputed: int
    open_points: tuple[tuple[str, str], ...]


@dataclass
class EvidenceState:
    """What is known between two blocks.

    Attributes:
        queries: the open ones.
        keys: what each account attested in the arrangement in force.
        model_root: in force.
        verdicts, replayed, recomputed: counts.
        unopened: verdicts from before this auditor was admitted.
        points: (what, who) that the evidence leaves open.
    """

    queries: dict[QueryId, Dispute] = field(default_factory=dict)
    keys: dict[Address, Digest] = field(default_factory=dict)
    model_root: ModelRoot | None = None
    verdicts: int = 0
    replayed: int = 0
    recomputed: int = 0
    unopened: int = 0
    points: list[tuple[str, str]] = field(default_factory=list)


class EvidenceAuditor:
    """Takes events in order, and repeats the verdicts among them; does nothing without an admission.

    Args:
        terms: of the ledger.
        store: the ciphertext store.
        admission: the auditor's key; None without one.
        state: where another one stopped; from the first event on if None.
    """

    def __init__(
        self, terms: Terms, store: ContentStore, admission: Admission | None, state: EvidenceState | None = None
    ) -> None:
        self._terms = terms
        self._store = store
        self._admission = admission
        self.state = state or EvidenceState()

    def check(self, logged: LoggedEvent) -> None:
        """Takes in the next event, which the verifier found good.

        A verdict whose evidence or whose query's input cannot be read is an open point: `BlobAuditor` names the blob.

        Raises:
            AuditFailure: a verdict, or its evidence, is wrong; the next event can be taken in all the same.
            StoreError: the store cannot be read at all.
        """
        if self._admission is None:
            return
        if isinstance(logged.event, VerdictPosted):
            self._judge(logged, logged.event, self._admission)
        else:
            self._observe(logged)

    def finish(self) -> None:
        """The end of the trail.

        Raises:
            ConfigError: this auditor was never admitted.
        """
        if self._admission is not None and self.state.unopened and not self.state.replayed:
            key = self._admission.public.hex()
            raise ConfigError(
                f"--evidence: the key {key} opens none of the evidence of {self.state.unopened} verdicts; ask the "
                f"ouroboros to admit it (`deepring admit-auditor {key}`), which counts for verdicts from then on"
            )

    def report(self) -> EvidenceReport:
        """What came of it so far."""
        state, admission = self.state, self._admission
        points = list(state.points)
        if state.unopened:
            what = f"that {state.unopened} verdicts from before this auditor was admitted are right"
            points.append((what, "the ouroboros, and auditors whom it admitted before"))
        if state.replayed:
            what = "that the route's notes told the workers the commitment keys which the evidence names"
            points.append((what, "each worker that was found guilty, from its own note"))
        counts = (state.verdicts, state.replayed, state.recomputed)
        has_model = admission is not None and admission.run is not None
        return EvidenceReport(admission is not None, has_model, *counts, tuple(points))

    # ------------------------------------------------------------------ following

    def _observe(self, logged: LoggedEvent) -> None:
        match logged.event:
            case ModelRegistered() as event:
                self.state.model_root = event.root
            case RingArranged():
                self.state.keys = {}
            case BlockAttested() as event:
                # A new mapping: attempts keep the keys that were in force when their route was opened.
                self.state.keys = {**self.state.keys, event.worker: event.attestation.sealing_key}
            case QuerySubmitted() as event:
                self.state.queries[event.query] = Dispute(event)
            case QueryRejected() | QueryWithdrawn() as event:
                self.state.queries.pop(event.query, None)
            case AnswerDelivered() as event:
                self._forget_delivered()
                self.state.queries[event.query].is_delivered = True
            case RouteOpened() as event:
                self.state.queries[event.query].open_route(event, self.state.keys)
            case UpdatePosted() | OutputDisputed() | EnvelopeDisputed() as event:
                query = query_of(event)
                if query is not None:
                    self.state.queries[query].take(event)

    def _forget_delivered(self) -> None:
        """A delivery that violates eq. 13 is no end: its record follows at once."""
        for query in [query for query, dispute in self.state.queries.items() if dispute.is_delivered]:
            del self.state.queries[query]

    # ------------------------------------------------------------------ judging

    def _judge(self, logged: LoggedEvent, event: VerdictPosted, admission: Admission) -> None:
        self.state.verdicts += 1
        try:
            evidence = self._open(logged, event, admission)
            if evidence is None:
                self.state.unopened += 1
            else:
                self._repeat(logged, event, evidence, admission)
        except BlobFault as error:
            self._point(event, f"all of it: {error}", "who still has that blob")

    def _repeat(self, logged: LoggedEvent, event: VerdictPosted, evidence: Evidence, admission: Admission) -> None:
        run = admission.run if admission.model_root == self.state.model_root else None
        if admission.run is not None and run is None:
            self._point(
                event, "its layers: the model in force has another root than the one given", "who has that model"
            )
        dispute = self.state.queries[event.verdict.query]
        replay = Replay(self._terms, self._store, dispute, evidence, run)
        finding = replay.judge(event, Place.of(logged))
        self.state.replayed += 1
        self.state.recomputed += run is not None
        for what in finding.open_points:
            self._point(event, what, "nobody from the record alone; the two sides know")
        self._compare(logged, event, finding.sender_guilty, finding.receiver_guilty)

    def _open(self, logged: LoggedEvent, event: VerdictPosted, admission: Admission) -> Evidence | None:
        verdict = event.verdict
        place = verdict_context(self._terms.domain, verdict.query, verdict.attempt, verdict.hop)
        try:
            opened = open_shared(admission.key, self._store.get(verdict.evidence), place)
            if opened is not None:
                return Evidence.decode(opened)
        except ProtocolError as error:
            raise _failure(logged, event, "evidence", "evidence in its format", str(error)) from None
        if self.state.replayed:
            wanted = f"a key for this auditor, {show(admission.public)}, as in earlier verdicts"
            raise _failure(logged, event, "evidence (its readers)", wanted, "none")
        return None

    def _compare(self, logged: LoggedEvent, event: VerdictPosted, sender: bool | None, receiver: bool | None) -> None:
        verdict = event.verdict
        sides = (
            ("sender_guilty", sender, verdict.sender_guilty),
            ("receiver_guilty", receiver, verdict.receiver_guilty),
        )
        for name, derived, posted in sides:
            if derived is not None and derived != posted:
                raise _failure(logged, event, name, f"{derived}, as its evidence has it", str(posted))

    def _point(self, event: VerdictPosted, what: str, who: str) -> None:
        if len(self.state.points) < MAX_POINTS:
            verdict = event.verdict
            self.state.points.append((f"of the verdict on query {verdict.query}, hop {verdict.hop}: {what}", who))


def _failure(logged: LoggedEvent, event: VerdictPosted, field_: str, expected: str, found: str) -> AuditFailure:
    subject = f"query {event.verdict.query}, hop {event.verdict.hop}"
    return AuditFailure(subject, f"VerdictPosted.verdict.{field_}", expected, found, Place.of(logged))
