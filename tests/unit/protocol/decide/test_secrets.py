"""What the owner draws, opens and computes is in no text that a log or an error could show."""

from __future__ import annotations

from typing import Any

import pytest

from deepring_chain.protocol.decide.hop import Compute, Received
from deepring_chain.protocol.decide.judging import Finding, Judge, OpenEnvelope, Revealed, Truth
from deepring_chain.protocol.decide.routing import Drawn
from deepring_chain.protocol.decide.serving import Deliver
from deepring_chain.protocol.draws import ArrangementDraw, RestoreDraw, RouteDraw
from deepring_chain.types import Digest, Hop, TensorBytes

SECRET: Any = Digest(b"secret".ljust(32, b"."))
PUBLIC: Any = Digest(b"public".ljust(32, b"."))
TENSOR = TensorBytes("int8", (1, 32), SECRET)
FINDING = Finding(sender_guilty=True, receiver_guilty=False, reason="false output")
SENT: Any = PUBLIC
NOTE: Any = PUBLIC

TOLD: list[Any] = [
    ArrangementDraw((), SECRET, (), PUBLIC),
    RestoreDraw(SECRET, PUBLIC, PUBLIC),
    RouteDraw(Hop(0), (), (PUBLIC,), (SECRET,), SECRET, PUBLIC),
    Drawn((PUBLIC,), (SECRET,), SECRET),
    Received(TENSOR),
    Compute(NOTE, TENSOR),
    Deliver(TENSOR),
    Truth((TENSOR,), (PUBLIC,)),
    Revealed(SECRET, PUBLIC, PUBLIC, SECRET),
    OpenEnvelope(SENT, TENSOR, SECRET),
    Judge(FINDING, Hop(1), (TENSOR,), SECRET, SECRET),
]


@pytest.mark.parametrize("told", TOLD, ids=[type(each).__name__ for each in TOLD])
def test_secrets_are_not_told(told: Any) -> None:
    assert "secret" not in repr(told)
