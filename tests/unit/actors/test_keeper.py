"""What the ouroboros put into the store for others is put back, each blob for itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from deepring_chain.actors.journal import Journal
from deepring_chain.actors.ouroboros.keeper import BlobKeeper
from deepring_chain.crypto.digest import sha256
from deepring_chain.protocol.decide.keeping import LOOK_SECONDS
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.session import Session
from deepring_chain.store.content import BlobBlocked, ContentStore
from deepring_chain.types import ZERO, Address, Digest, Pointer, QueryId, QueryPhase

ANY: Any = ZERO
"""A digest of any kind."""


class OneBlocked(ContentStore):
    """A store in which something that cannot be displaced lies under one name."""

    blocked: Digest | None = None

    def put(self, data: bytes) -> Pointer:
        if sha256(data) == self.blocked:
            raise BlobBlocked(Pointer(self.blocked), "a directory lies there", self.url)
        return super().put(data)


def running(query: QueryId, notes: Pointer) -> Session:
    """A query whose workers read these notes."""
    return Session(query, Address("querent"), ANY, ANY, ANY, phase=QueryPhase.ROUTED, notes=notes)


def test_blob_whose_place_is_blocked_keeps_no_other_from_being_put_back(tmp_path: Path) -> None:
    """Attack: an obstacle under the notes of one query has every other query's readers found silent."""
    store, now = OneBlocked(str(tmp_path / "store")), [0.0]
    member: Any = SimpleNamespace(
        store=store,
        journal=Journal(tmp_path / "journal"),
        state=LedgerState(),
    )
    keeper = BlobKeeper(member, lambda: now[0])
    blobs = [bytes([number]) for number in range(4)]
    notes = [keeper.put_for_query(QueryId(number), lambda blob=blob: blob) for number, blob in enumerate(blobs, 1)]  # type: ignore[misc]
    for query, digest in enumerate(notes, 1):
        member.state.sessions[QueryId(query)] = running(QueryId(query), digest)
    assert not keeper.act()
    for digest in notes:
        (tmp_path / "store" / digest.hex()[:2] / digest.hex()).unlink()
    store.blocked = notes[1]
    now[0] += LOOK_SECONDS
    assert keeper.act()
    assert [store.has_good(digest) for digest in notes] == [True, False, True, True]
    store.blocked = None
    now[0] += LOOK_SECONDS
    assert keeper.act()
    assert store.has_good(notes[1])
