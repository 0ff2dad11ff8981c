"""Gas does not change unseen."""

from __future__ import annotations

import json

from tests.chain.gas_report import PATH, measure


def test_gas_is_what_the_snapshot_says() -> None:
    assert measure() == json.loads(PATH.read_text(encoding="utf-8")), "if it was meant to change, run make gas"
