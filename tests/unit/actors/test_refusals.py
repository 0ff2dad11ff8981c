"""What goes wrong beside an actor is handed on, and not taken for the few things that are no error."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from deepring_chain.actors.leaves import SETTLED, post_leaves
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.errors import ConfigError, ProtocolError
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.types import ArrangementId, Position
from tests.unit.actors.fake_ring import PASSWORD, FakeRing, client_of


def refusing(name: str) -> Any:
    """A call that the ledger refuses."""

    def refuse(*_arguments: object) -> NoReturn:
        raise LedgerReverted(name, {})

    return refuse


def test_sealing_key_of_another_type_is_refused(ring: FakeRing) -> None:
    member = ring.members[1]
    encryption = BestAvailableEncryption(PASSWORD.encode())
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    member.journal.record_once("sealing-key/1", lambda: pem)
    with pytest.raises(ConfigError, match="not an X25519 key"):
        member.sealing_key(ArrangementId(1))


def test_ring_that_is_not_arranged_is_said_to_be_so(ring: FakeRing) -> None:
    with pytest.raises(ProtocolError, match="not arranged yet"):
        ring.members[1].arranged()


def test_report_that_is_on_the_ledger_already_is_no_error(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_of(ring.members[1]), "report_restore", refusing("NothingToReport"))
    ring.workers[0]._report(LeafPlace(ArrangementId(1), Position(1), 1), "nothing")


def test_report_that_is_refused_otherwise_is_an_error(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_of(ring.members[1]), "report_restore", refusing("NotSeated"))
    with pytest.raises(LedgerReverted, match="NotSeated"):
        ring.workers[0]._report(LeafPlace(ArrangementId(1), Position(1), 1), "nothing")


def test_refusals_of_settled_leaves_are_these() -> None:
    assert {"AlreadyAttested", "StaleArrangement", "UnexpectedRound"} == SETTLED


@pytest.mark.parametrize("name", sorted(SETTLED))
def test_leaves_that_are_settled_already_are_no_error(
    name: str, ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.settle()
    monkeypatch.setattr(client_of(ring.members[0]), "attest", refusing(name))
    assert not post_leaves(ring.members[0], [])


def test_leaves_that_are_refused_otherwise_are_an_error(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    ring.settle()
    monkeypatch.setattr(client_of(ring.members[0]), "attest", refusing("ECDSAInvalidSignature"))
    with pytest.raises(LedgerReverted, match="ECDSAInvalidSignature"):
        post_leaves(ring.members[0], [])
