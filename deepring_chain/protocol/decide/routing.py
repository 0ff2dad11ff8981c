"""A query's routes (protocol 5.2): where an attempt begins, who signs which hop, what each is told, who failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from deepring_chain.crypto.digest import hop_key
from deepring_chain.protocol.draws import RouteDraw
from deepring_chain.protocol.events import EnvelopeDisputed, UpdatePosted
from deepring_chain.protocol.route import RouteNote, build_route
from deepring_chain.protocol.session import Fault, FaultKind, Session
from deepring_chain.types import (
    NO_BLOB,
    Address,
    Attempt,
    ComplaintKind,
    Digest,
    Hop,
    OutputCommitment,
    Pointer,
    QueryPhase,
    RouteLink,
    SealingKey,
)


@dataclass(frozen=True)
class Resumption:
    """What the ouroboros knows of an attempt that it is about to draw.

    Attributes:
        session: the query.
        attempt: the number of the attempt.
        model_version: in force.
        signers: who would sign each hop 0..n.
        routes: the signers of the earlier attempts, by hop.
        truth: answer to `Recompute`; None if it has not been asked.
        looked: answers to `LookFor`, by blob.
    """

    session: Session
    attempt: Attempt
    model_version: int
    signers: tuple[Address, ...]
    routes: Mapping[Attempt, tuple[Address, ...]] = field(default_factory=lambda: MappingProxyType({}))
    truth: tuple[OutputCommitment, ...] | None = None
    looked: Mapping[Pointer, bool] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Recompute:
    """Compute every output anew from the query's input, and what honest hops commit to (docs/adr/0006)."""


@dataclass(frozen=True)
class LookFor:
    """See whether the store has this blob, whole."""

    blob: Pointer


@dataclass(frozen=True)
class ReadRoute:
    """Read the route of the attempt that runs from the journal."""


@dataclass(frozen=True)
class Begin:
    """Begin the attempt at this hop."""

    hop: Hop


@dataclass(frozen=True)
class Drawn:
    """Random values for one attempt.

    Attributes:
        keys: the sealing key that each hop's signer attested in the arrangement in force.
        salts: 32 fresh bytes for each hop 0..n.
        commitment_key: 32 more, of use for a query's first attempt alone.
    """

    keys: tuple[SealingKey, ...]
    salts: tuple[Digest, ...] = field(repr=False)
    commitment_key: Digest = field(repr=False)


# ---------------------------------------------------------------- where to begin


def next_action(resumption: Resumption) -> Recompute | LookFor | Begin:
    """Return where the attempt begins: as late as possible, or what must be known before.

    Every envelope that is used must be good, and its reader the same. A fault at hop k repeats hop k alone; hop k - 1
    too where its envelope must be sealed anew, and so on back. What another version of the model computed is no output
    to go on from.
    """
    session = resumption.session
    if resumption.attempt == 1 or session.model_version != resumption.model_version:
        return Begin(Hop(0))
    if resumption.truth is None:
        return Recompute()
    for hop in range(min(session.next_hop, len(resumption.signers) - 1), 0, -1):
        anchor = _find_anchor(resumption, Hop(hop), resumption.truth)
        if anchor is None:
            continue
        if anchor not in resumption.looked:
            return LookFor(anchor)
        if resumption.looked[anchor]:
            return Begin(Hop(hop))
    return Begin(Hop(0))


def _find_anchor(resumption: Resumption, hop: Hop, truth: Sequence[OutputCommitment]) -> Pointer | None:
    """The envelope from which `hop` can go on, if nothing speaks against it but that it may be lost."""
    anchor = resumption.session.updates.get(Hop(hop - 1))
    if anchor is None or is_refuted(resumption.session, anchor):
        return None
    update = anchor.signed.update
    # Two neighbors may have agreed on a wrong value: no attempt goes on from it once it is known.
    if (update.output, update.next_output) != (truth[hop - 1], truth[hop]):
        return None
    is_same_reader = resumption.routes[update.attempt][hop] == resumption.signers[hop]
    return update.envelope if is_same_reader else None


def is_refuted(session: Session, anchor: UpdatePosted) -> bool:
    """Return whether the sender of `anchor` was found guilty for this very entry, or its receiver cannot read it.

    A receiver that complained of a good envelope may have lost its key: it gets the next one sealed anew. So does
    one that missed it twice: a store may hide a blob from some of its readers.
    """
    update = anchor.signed.update
    later = [(fault.hop, fault.kind) for fault in session.faults if fault.attempt >= update.attempt]
    is_guilty = (update.hop, FaultKind.GUILTY) in later
    is_missed_twice = later.count((Hop(update.hop + 1), FaultKind.UNSETTLED)) > 1
    return is_guilty or is_missed_twice or _is_unread(session, anchor)


def _is_unread(session: Session, anchor: UpdatePosted) -> bool:
    """Whether the last complaint was of what this very entry's envelope holds."""
    update, dispute = anchor.signed.update, session.dispute
    return (
        isinstance(dispute, EnvelopeDisputed)
        and dispute.complaint.kind in {ComplaintKind.UNREADABLE, ComplaintKind.ALTERED}
        and dispute.complaint.hop == update.hop + 1
        and dispute.complaint.attempt >= update.attempt
    )


# ---------------------------------------------------------------- what is drawn


def route_signers(layers: Mapping[Address, int]) -> tuple[Address, ...]:
    """Return who signs each hop: hop 0 the ouroboros, hop i the worker of layer i that is seated.

    Args:
        layers: who is seated, and the layer that each serves; 0 is the ouroboros.
    """
    by_layer = {layer: seat for seat, layer in layers.items()}
    return tuple(by_layer[layer] for layer in range(len(by_layer)))


def draw_route(first_hop: Hop, signers: tuple[Address, ...], drawn: Drawn, first: RouteDraw | None) -> RouteDraw:
    """Return the attempt's route, whose notes are not sealed yet.

    All attempts of a query share its commitment key: what was accepted in one stays valid in the next.

    Args:
        first_hop: where the attempt begins.
        signers: of each hop 0..n.
        drawn: for this attempt.
        first: the route of the query's first attempt; None if this is it.
    """
    key = first.commitment_key if first else drawn.commitment_key
    return RouteDraw(first_hop, signers, drawn.keys, drawn.salts[first_hop:], key, NO_BLOB)


def route_links(draw: RouteDraw) -> list[RouteLink]:
    """Return the route's links, from the attempt's first hop on."""
    return build_route(draw.signers[draw.first_hop :], draw.salts)


def route_notes(draw: RouteDraw, session: Session, items: int) -> Iterator[tuple[SealingKey, RouteNote]]:
    """Yield what each worker of the attempt is told, and the key that it is sealed to.

    Args:
        draw: the route.
        session: the query; its accepted updates tell who signed the hop before the attempt's first one.
        items: that were asked.
    """
    links = route_links(draw)
    for number in range(max(1, draw.first_hop), len(draw.signers)):
        hop = Hop(number)
        is_resumed = hop == draw.first_hop
        before = session.updates[Hop(hop - 1)].signer if is_resumed else draw.signers[hop - 1]
        yield (
            draw.keys[hop],
            RouteNote(
                hop=hop,
                items=items,
                salt=draw.salts[hop - draw.first_hop],
                next_route=links[hop - draw.first_hop + 1],
                predecessor=before,
                next_sealing_key=draw.keys[(hop + 1) % len(draw.keys)],
                previous_key=hop_key(draw.commitment_key, Hop(hop - 1)),
                own_key=hop_key(draw.commitment_key, hop),
                next_key=hop_key(draw.commitment_key, Hop(hop + 1)),
            ),
        )


def anchor_of(session: Session, draw: RouteDraw) -> UpdatePosted | None:
    """Return the update that the attempt goes on from; None if it begins at the input."""
    return session.updates[Hop(draw.first_hop - 1)] if draw.first_hop > 0 else None


# ---------------------------------------------------------------- who is due, and who failed


def due_signer(session: Session, owner: Address, draw: RouteDraw | None = None) -> Address | ReadRoute | None:
    """Return whose turn it is: the owner's after the last hop; None if no hop is due.

    Args:
        session: the query.
        owner: the ouroboros's account.
        draw: answer to `ReadRoute`; None if it has not been asked.
    """
    if session.phase is QueryPhase.COMPUTED:
        return owner
    if session.phase is not QueryPhase.ROUTED:
        return None
    return ReadRoute() if draw is None else draw.signers[session.next_hop]


def counted_faults(session: Session) -> tuple[Fault, ...]:
    """Return the faults that count against somebody: not that of the delivery, which is the ouroboros's own."""
    return tuple(fault for fault in session.faults if fault.hop < session.hops)


def who_failed(fault: Fault, draw: RouteDraw) -> Address:
    """Return who served the faulty hop: not always who is on the attempt's route, which may begin after that hop.

    Args:
        fault: of one hop.
        draw: the route of the fault's attempt.
    """
    if fault.signer is not None and fault.hop < draw.first_hop:
        return fault.signer
    return draw.signers[fault.hop]
