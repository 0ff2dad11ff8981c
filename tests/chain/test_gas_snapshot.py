"""Gas does not change unseen."""

from __future__ import annotations

import json

from tests.chain.gas_report import CODE_LIMIT, KEPT_FREE, PATH, TRANSACTION_GAS, code_size, measure, measure_largest


def test_gas_is_what_the_snapshot_says() -> None:
    assert measure() == json.loads(PATH.read_text(encoding="utf-8")), "if it was meant to change, run make gas"


def test_ledgers_code_leaves_room_for_mending() -> None:
    """EIP-170 bounds it; `make gas` prints what is left."""
    assert code_size() <= CODE_LIMIT - KEPT_FREE


def test_largest_ring_is_seated_attested_and_restored_in_single_transactions() -> None:
    """EIP-7825: a model that `registerModel` takes can be served."""
    limits = measure_largest()
    assert len(limits) == 5
    assert max(limits.values()) <= TRANSACTION_GAS
