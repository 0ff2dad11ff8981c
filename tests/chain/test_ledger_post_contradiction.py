"""`postContradiction`: a stranger cannot bring a query into dispute with what honest hops signed."""

from __future__ import annotations

import pytest
from eth_account.signers.local import LocalAccount

from tests.chain.calls import contradiction_call
from tests.chain.expect import refused
from tests.chain.ring_driver import ScriptedQuery


def test_entry_of_hop_0_is_no_contradiction(query: ScriptedQuery, mallory: LocalAccount) -> None:
    signed = query.sign(query.update())
    with refused("OutputsAgree", query=query.query, output=signed.update.output):
        query.ring.ledger.send(mallory, contradiction_call(query.state, signed))
    query.post()
    assert query.hop == 1


@pytest.mark.parametrize("hop", [1, 2, 3])
def test_expected_output_is_no_contradiction(query: ScriptedQuery, mallory: LocalAccount, hop: int) -> None:
    query.advance(hop)
    signed = query.sign(query.update())
    with refused("OutputsAgree", query=query.query, output=signed.update.output):
        query.ring.ledger.send(mallory, contradiction_call(query.state, signed))
    query.post()
    assert query.hop == hop + 1
