"""A receipt that does not tell what happened is one line, not a traceback."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from assurance.adversary.lying_node import lying
from deepring_chain.errors import ChainError
from tests.chain.names import named
from tests.chain.ring_driver import ScriptedRing


@pytest.mark.parametrize("keeps", [0, 2])
def test_submission_whose_receipt_tells_no_new_query_is_one_line(
    ring: ScriptedRing, querent: LocalAccount, keeps: int
) -> None:
    client = ring.ledger.by(querent)

    def lie(method: str, _parameters: Any, result: Any) -> Any:
        if method == "eth_getTransactionReceipt" and result:
            return {**result, "logs": result["logs"] * keeps}
        return result

    with lying(client, lie), pytest.raises(ChainError, match="tells no new query"):
        client.submit_query(named("input"), named("key"))
