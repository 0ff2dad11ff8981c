"""Python has a twin of each value type of the contracts, of the same name."""

from __future__ import annotations

import re

import pytest

from deepring_chain import types
from deepring_chain.protocol.plain import base_of
from deepring_chain.types import Digest
from tests.equations import read_sources

NAMES = re.findall(r"^type (\w+) is bytes32;$", read_sources()["contracts/types/Types.sol"], re.MULTILINE)


def test_contracts_have_value_types() -> None:
    assert {"Pointer", "Leaf", "RouteLink", "OutputCommitment", "TrailHash", "SealingKey"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_value_type_has_a_twin_that_is_32_bytes_for_everyone_else(name: str) -> None:
    """A digest is not one of them until it is named so; each of them is a digest."""
    twin = getattr(types, name)
    assert twin.__name__ == name
    assert twin.__supertype__ is Digest
    assert base_of(twin) is bytes


def test_twins_make_nothing_new() -> None:
    """They are for mypy: at run time the value is the same object."""
    for name in NAMES:
        assert getattr(types, name)(types.ZERO) is types.ZERO
