"""The harness on the run's Anvil."""

from __future__ import annotations

import pytest
from web3 import Web3

from tests.differential.harness import Harness


@pytest.fixture(scope="session")
def harness(web3: Web3) -> Harness:
    """The deployed `DigestHarness`."""
    return Harness.deploy(web3)
