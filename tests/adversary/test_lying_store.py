"""A lying store: it hides, alters, or serves some and not others, and holds things that are no blobs.

Who: whoever runs the store, or may write to it.
Wants: wrong content accepted, an honest member blamed, an actor that hangs or eats all memory.
Stopped by: every read is held against its digest (DR-25, DR-27); messages are believed for their signatures (DR-16).
Outcome: refused. A store that hides one worker's notes from that worker alone is not stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assurance.adversary.outcomes import not_stopped, refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.actors.leaves import message_name
from deepring_chain.protocol.decide.keeping import LOOK_SECONDS
from deepring_chain.protocol.decide.seat import OWN_SECONDS, LeafPlace
from deepring_chain.protocol.session import FaultKind
from deepring_chain.store.content import BlobMissing, ContentStore
from deepring_chain.types import Digest, Pointer, Position, QueryPhase, RingMode


def leave_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def leave_pipe(path: Path) -> None:
    os.mkfifo(path)


def leave_dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def leave_folder(path: Path) -> None:
    path.mkdir()


def leave_empty(path: Path) -> None:
    path.write_bytes(b"")


def leave_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


TRAPS = [leave_endless, leave_pipe, leave_dangling, leave_folder, leave_empty, leave_huge]


@refused
@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__.removeprefix("leave_"))
def test_trap_where_a_leaf_is_expected_holds_nobody_up(attacked: SteppedRing, trap: Callable[[Path], None]) -> None:
    """Without a good message from a worker its leaf comes by its own transaction."""
    attacked.arrange()
    for position in range(1, 5):
        name = message_name(attacked.deployment.ledger, LeafPlace(attacked.arrangement, Position(position), 0))
        trap(attacked.folder.path / "store" / "messages" / name)
    attacked.settle()
    attacked.wait(OWN_SECONDS + 1)
    attacked.settle()
    assert attacked.state.mode is RingMode.QUERY


@refused
@pytest.mark.parametrize("trap", [leave_endless, leave_dangling, leave_empty, leave_huge], ids=lambda t: t.__name__)
def test_trap_in_place_of_an_envelope_is_taken_for_a_lost_one_and_replaced(
    attacked: SteppedRing, trap: Callable[[Path], None]
) -> None:
    query = attacked.ask_up_to(3)
    path = attacked.path_of(attacked.update_of(query, 2).signed.update.envelope)
    path.unlink()
    trap(path)
    attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == [(3, FaultKind.UNSETTLED)]


class Partial(ContentStore):
    """A store that does not serve some blobs to one of its readers."""

    hidden: frozenset[Digest] = frozenset()

    def get(self, digest: Digest, max_bytes: int | None = None) -> bytes:
        if digest in self.hidden:
            raise BlobMissing(Pointer(digest), self.url)
        return super().get(Pointer(digest), max_bytes)


def serve_partially(ring: SteppedRing, name: str, *hidden: Digest) -> None:
    store: Any = Partial(ring.deployment.store_url)
    store.hidden = frozenset(hidden)
    ring.member(name).store = store


@refused
def test_envelope_that_is_hidden_from_its_reader_alone_convicts_nobody(own_ring: SteppedRing) -> None:
    """It misses it twice; then the hop before is asked to seal another one."""
    query = own_ring.ask_up_to(3)
    serve_partially(own_ring, "worker-3", own_ring.update_of(query, 2).signed.update.envelope)
    own_ring.settle()
    own_ring.expect_answered(query)
    assert own_ring.guilt(query) == [(3, FaultKind.UNSETTLED)] * 2
    own_ring.expect_well()


@not_stopped("Denial of service.")
def test_not_stopped_notes_that_are_hidden_from_one_worker_alone_have_it_found_silent(own_ring: SteppedRing) -> None:
    """Everybody else sees them in their place; nothing tells this from a worker that does not want to answer."""
    query = own_ring.ask()
    own_ring.settle("worker-2")
    serve_partially(own_ring, "worker-2", own_ring.session(query).notes)
    own_ring.settle()
    own_ring.wait(LOOK_SECONDS)
    own_ring.settle()
    assert own_ring.session(query).phase is QueryPhase.ROUTED
    own_ring.wait(own_ring.client().hop_seconds + 1)
    own_ring.settle(until=lambda: bool(own_ring.guilt(query)))
    assert own_ring.guilt(query) == [(2, FaultKind.SILENT)]
    own_ring.expect_answered(query)
