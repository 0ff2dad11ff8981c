"""`rejectQuery`: the owner turns a query down that it cannot use."""

from __future__ import annotations

from typing import cast

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.chain.errors import TransactionFailed
from deepring_chain.protocol.events import QueryRejected
from deepring_chain.types import ZERO, QueryPhase, RejectReason
from tests.chain.expect import refused
from tests.chain.ring_driver import ScriptedRing


@pytest.mark.parametrize("reason", RejectReason)
def test_query_is_rejected_with_its_reason(ring: ScriptedRing, querent: LocalAccount, reason: RejectReason) -> None:
    query = ring.submit(querent)
    assert ring.ledger.events(query.reject(reason)) == [QueryRejected(query.query, reason)]
    assert query.place == (QueryPhase.REJECTED, 0, 0, ZERO, ZERO, query.trail)


def test_other_queries_are_not_touched(ring: ScriptedRing, querent: LocalAccount) -> None:
    first, second = ring.submit(querent), ring.submit(querent)
    second.reject()
    assert first.state.phase == QueryPhase.SUBMITTED


def test_others_than_the_owner_are_refused(ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount) -> None:
    query = ring.submit(querent)
    for account in (mallory, querent, ring.workers[0]):
        with refused("NotOuroboros", ouroboros=ring.owner.address, caller=account.address):
            ring.ledger.by(account).reject_query(query.query, query.state, RejectReason.MALFORMED)


def test_unknown_reason_is_refused(ring: ScriptedRing, querent: LocalAccount) -> None:
    query = ring.submit(querent)
    with pytest.raises(TransactionFailed):
        ring.owner_client.reject_query(query.query, query.state, cast("RejectReason", len(RejectReason)))
    assert query.state.phase == QueryPhase.SUBMITTED
