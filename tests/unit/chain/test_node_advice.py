"""What to do about a node that is away is advice that every command can follow, those without --rpc too."""

from __future__ import annotations

import pytest
import requests

from deepring_chain.chain.connection import node_errors
from deepring_chain.errors import ChainError
from deepring_chain.ring.folder import DEPLOYMENT_FILE, Deployment


@pytest.mark.parametrize("error", [requests.exceptions.ReadTimeout(), requests.exceptions.ConnectionError()])
def test_advice_names_the_deployment_file_and_its_field(error: Exception) -> None:
    with pytest.raises(ChainError, match=DEPLOYMENT_FILE) as told, node_errors("http://127.0.0.1:1"):
        raise error
    assert any(f"as {field} in" in str(told.value) for field in Deployment.__dataclass_fields__)
