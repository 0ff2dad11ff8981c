"""Runs of updates: what of a row of signed updates goes on chain, and how the rest follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from deepring_chain.crypto.signing import (
    compact_signature,
    full_signature,
    message_digest,
    recover_signer,
)
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.protocol.route import route_link
from deepring_chain.protocol.trail import extend_trail
from deepring_chain.protocol.validation import agrees
from deepring_chain.types import (
    Address,
    Attempt,
    Digest,
    Domain,
    Hop,
    OutputCommitment,
    Pointer,
    QueryId,
    RouteLink,
    SignedUpdate,
    TrailHash,
    Update,
)


@dataclass(frozen=True)
class HopEntry:
    """`ILedger.HopEntry`; `r` and `vs` are the signature in the form of EIP-2098."""

    envelope: Pointer
    next_output: OutputCommitment
    salt: Digest
    r: Digest
    vs: Digest

    @property
    def signature(self) -> bytes:
        """In 65 bytes."""
        return full_signature(self.r, self.vs)


@dataclass(frozen=True)
class Run:
    """One or several hops in a row, as `ILedger.UpdatesPosted` records them.

    Attributes:
        query, attempt: whose.
        hop: the first.
        items: the query's number of items.
        trail: before the first.
        output: the first hop's own commitment; every later one's is the `next_output` of the hop before it.
        rest: what is left of the route after the last.
        entries: the hops.
    """

    query: QueryId
    attempt: Attempt
    hop: Hop
    items: int
    trail: TrailHash
    output: OutputCommitment
    rest: RouteLink
    entries: tuple[HopEntry, ...]

    @classmethod
    def of(cls, updates: Sequence[SignedUpdate]) -> Run:
        """Packs signed updates of consecutive hops.

        Raises:
            ProtocolError: none, or they are signed for different numbers of items, or an output is not what the hop
                before it expects (eq. 13): such a hop goes alone.
        """
        if not updates:
            raise ProtocolError("a run of updates has at least one hop")
        for before, after in pairwise(updates):
            is_next = (after.update.hop, after.update.items) == (before.update.hop + 1, before.update.items)
            if not is_next or not agrees(after.update.hop, after.update.output, before.update.next_output):
                raise ProtocolError(f"query {after.update.query}, hop {after.update.hop}: does not continue the run")
        first = updates[0].update
        entries = tuple(_entry(signed) for signed in updates)
        rest = updates[-1].next_route
        return cls(first.query, first.attempt, first.hop, first.items, first.trail, first.output, rest, entries)

    def expand(self, domain: Domain) -> list[UpdatePosted]:
        """The updates with their signers, links and trails.

        Raises:
            ProtocolError: a signature is nobody's, or the run has no hop or leaves their range.
        """
        if not self.entries:
            raise ProtocolError(f"query {self.query}: a run without a hop")
        if self.hop + len(self.entries) > 2**16:
            raise ProtocolError(f"query {self.query}: a run of {len(self.entries)} hops from hop {self.hop} on")
        updates, signers, trail, output = [], [], self.trail, self.output
        for index, entry in enumerate(self.entries):
            hop, items = Hop(self.hop + index), self.items
            update = Update(self.query, self.attempt, hop, items, entry.envelope, output, entry.next_output, trail)
            signer = recover_signer(domain, update, entry.signature)
            updates.append(update)
            signers.append(signer)
            trail, output = extend_trail(trail, message_digest(domain, update), signer), entry.next_output
        trails = [*(update.trail for update in updates[1:]), trail]
        links = self._links(signers)
        return [
            UpdatePosted(SignedUpdate(update, entry.signature, entry.salt, link), signer, after)
            for update, entry, link, signer, after in zip(
                updates, self.entries, links[1:], signers, trails, strict=True
            )
        ]

    def _links(self, signers: Sequence[Address]) -> list[RouteLink]:
        links = [self.rest]
        for signer, entry in zip(reversed(signers), reversed(self.entries), strict=True):
            links.append(route_link(signer, entry.salt, links[-1]))
        return links[::-1]


def _entry(signed: SignedUpdate) -> HopEntry:
    r, vs = compact_signature(signed.signature)
    return HopEntry(signed.update.envelope, signed.update.next_output, signed.salt, r, vs)
