"""A scripted ring with a store."""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount

from tests.chain.ring_driver import ScriptedRing
from tests.chain.stored_ring import StoredRing


@pytest.fixture
def stored(bare_ring: ScriptedRing, querent: LocalAccount, tmp_path: Path) -> StoredRing:
    """A ring in query mode with a store."""
    return StoredRing(bare_ring, tmp_path / "store", querent).register().arrange()
