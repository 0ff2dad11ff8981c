"""Equivocation: a worker signs two different entries for one place.

Who: a worker with a changed program, or one that runs twice: a copied folder, a backup beside the original.
Wants: to say one thing to the ledger and another to its neighbor; to take its word back.
Stopped by: DR-23 and I-2 (one entry for one place: the first), DR-29, DR-27.
Outcome: refused: the first entry counts, and the second is nobody's.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assurance.adversary.liars import perturbed
from assurance.adversary.outcomes import refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.actors.worker.block import BlockLayers
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import sign_update
from deepring_chain.types import SignedUpdate, TensorBytes


class TwoFaced(Worker):
    """Signs an honest entry and a second one, with another envelope, for the same place."""

    second: SignedUpdate | None = None

    def _execute(self, session: Session, note: RouteNote, received: TensorBytes, layers: BlockLayers) -> SignedUpdate:
        first = super()._execute(session, note, received, layers)
        other = replace(first.update, envelope=self._send_output(session, note, perturbed(received)))
        member = self._member
        self.second = sign_update(member.keys.account, member.client.domain, other, note.salt, note.next_route)
        return first


@refused
@pytest.mark.parametrize("late", [False, True], ids=["at once", "after the query"])
def test_second_entry_for_the_same_place_is_refused(attacked: SteppedRing, late: bool) -> None:
    query = attacked.ask_up_to(2)
    before = attacked.session(query)
    with attacked.bribed("worker-2", TwoFaced) as liar:
        attacked.step("worker-2")
        second = liar.second
    if late:
        attacked.settle()
    member = attacked.member("worker-2")
    for session in (before, attacked.session(query)):
        with pytest.raises((LedgerReverted, ValueError)):
            member.client.post(member.shown(session), second)
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []


@refused
def test_worker_that_runs_twice_from_a_copy_is_served_by_one_of_them_and_blamed_for_nothing(
    own_ring: SteppedRing, tmp_path: Path
) -> None:
    """Two journals, two sealing keys: the one whose leaf came first can open what is sent, the other finds no note."""
    shutil.copytree(own_ring.folder.path, tmp_path / "copy")
    twin = own_ring.load("worker-2", tmp_path / "copy" / "worker-2")
    for _ in range(3):
        query = own_ring.ask()
        for _ in range(25):
            for name in own_ring.names:
                own_ring.step(name)
                if name == "worker-2":
                    own_ring.step("twin", twin)
        own_ring.expect_answered(query)
        assert own_ring.guilt(query) == []
    own_ring.expect_well()


@refused
def test_worker_says_the_same_after_a_restart_although_a_new_envelope_would_be_another(attacked: SteppedRing) -> None:
    """Killed after signing, before posting: the entry on disk is the one that comes."""
    query = attacked.ask_up_to(2)
    client: Any = attacked.member("worker-2").client
    posted: list[Any] = []
    client.post = lambda _state, *updates: posted.extend(updates)
    attacked.step("worker-2")
    attacked.restart("worker-2")
    attacked.expect_answered(query)
    assert [attacked.update_of(query, 2).signed] == posted[:1]
