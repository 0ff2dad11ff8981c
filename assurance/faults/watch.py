"""Watching a ledger over all its forks: what was ever signed stays known when its block is gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.client import LedgerClient
from deepring_chain.errors import DeepRingError
from deepring_chain.protocol.events import LoggedEvent, UpdatePosted
from deepring_chain.types import Address, Digest

OVERLAP = 32
"""Blocks that are looked at again: more than a reorganization replaces."""

Place = tuple[Address, int, int, int, Digest]
"""Signer, query, attempt, hop, and the trail before."""


@dataclass
class Watch:
    """What was seen.

    Attributes:
        first_block: of the ledger.
        signatures: of each place.
    """

    first_block: int
    signatures: dict[Place, set[bytes]] = field(default_factory=dict)
    _head: BlockPlace | None = None
    _seen: set[tuple[Digest, int, int]] = field(default_factory=set)

    @property
    def events(self) -> int:
        """How many different events were seen, on any fork."""
        return len(self._seen)

    def look(self, client: LedgerClient) -> None:
        """Takes in what is new; a node that is away is looked at another time."""
        try:
            head = client.head()
            if head == self._head:
                return
            known = self.first_block if self._head is None else min(self._head.number, head.number) - OVERLAP
            self._take(client.events(max(self.first_block, known), head.number))
            self._head = head
        except DeepRingError:
            return

    def _take(self, events: Iterable[LoggedEvent]) -> None:
        for logged in events:
            self._seen.add((logged.transaction_hash, logged.log_index, logged.part))
            if isinstance(logged.event, UpdatePosted):
                signed, signer = logged.event.signed, logged.event.signer
                update = signed.update
                place = (signer, update.query, update.attempt, update.hop, update.trail)
                self.signatures.setdefault(place, set()).add(signed.signature)

    def double_signed(self) -> list[Place]:
        """Places that have two different signatures."""
        return [place for place, found in self.signatures.items() if len(found) > 1]
