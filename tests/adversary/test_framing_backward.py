"""Framing backward: hop i has hop i - 1 convicted for what it never did.

Who: a recipient, with the rights in the store that every member has.
Wants: an honest neighbor found guilty.
Stopped by: DR-50, DR-51 (the referee repeats the check with the recipient's attested key), DR-53; what the store
lost may be put back before anybody is blamed, whatever the complaint says.
Outcome: recorded, right blame: the one who complained falsely, or nobody.
"""

from __future__ import annotations

import os

import pytest

from assurance.adversary.liars import complaining
from assurance.adversary.outcomes import blamed, not_stopped
from assurance.adversary.stepped_ring import SteppedRing, convicted
from deepring_chain.protocol.session import FaultKind, Session
from deepring_chain.types import ComplaintKind, Hop

ABOUT_CONTENT = [ComplaintKind.ALTERED, ComplaintKind.UNREADABLE]


@blamed
@pytest.mark.parametrize("kind", ABOUT_CONTENT, ids=lambda kind: kind.name)
@pytest.mark.parametrize("key", [None, os.urandom(32), b"short"], ids=["its key", "another key", "no key"])
def test_complaint_about_a_good_envelope_convicts_the_complainer(
    attacked: SteppedRing, kind: ComplaintKind, key: bytes | None
) -> None:
    with attacked.bribed("worker-3", complaining(kind, key)):
        query = attacked.ask()
        attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(3)


@blamed
def test_complaint_that_reveals_the_neighbors_key_convicts_the_complainer(attacked: SteppedRing) -> None:
    """A stolen key: it opens no envelope of the complainer's, and would seem to prove the complaint."""
    stolen = attacked.member("worker-2").sealing_key(attacked.arrangement).private_bytes_raw()
    with attacked.bribed("worker-3", complaining(ComplaintKind.UNREADABLE, stolen)):
        query = attacked.ask()
        attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(3)


@blamed
@pytest.mark.parametrize("kind", ABOUT_CONTENT, ids=lambda kind: kind.name)
def test_envelope_that_the_complainer_deleted_is_put_back_and_convicts_the_complainer(
    attacked: SteppedRing, kind: ComplaintKind
) -> None:
    """It deletes the envelope, calls it unreadable and not missing, and reveals the right key."""

    def delete(session: Session) -> None:
        attacked.lose(session.updates[Hop(2)].signed.update.envelope)

    with attacked.bribed("worker-3", complaining(kind, before=delete)):
        query = attacked.ask()
        attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(3)


@blamed
def test_deleted_envelope_that_is_called_missing_convicts_nobody(attacked: SteppedRing) -> None:
    def delete(session: Session) -> None:
        attacked.lose(session.updates[Hop(2)].signed.update.envelope)

    with attacked.bribed("worker-3", complaining(ComplaintKind.MISSING, before=delete)):
        query = attacked.ask()
        attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == [(3, FaultKind.UNSETTLED)]


@not_stopped("Denial of service.")
def test_not_stopped_envelope_deleted_while_its_sender_is_away_convicts_the_sender(attacked: SteppedRing) -> None:
    """Nothing tells a blob that was never put from one that was deleted, if its sender is not there to put it back."""

    def delete(session: Session) -> None:
        attacked.lose(session.updates[Hop(2)].signed.update.envelope)

    query = attacked.ask_up_to(3)
    with attacked.bribed("worker-3", complaining(ComplaintKind.MISSING, before=delete)):
        attacked.settle("worker-2")
        attacked.wait(2)
        attacked.settle("worker-2")
    assert attacked.guilt(query) == convicted(2)
    attacked.expect_answered(query)
