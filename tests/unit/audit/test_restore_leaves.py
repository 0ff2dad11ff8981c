"""The evidence for a restore is found where the owner put it, and nobody's bytes spoil the search."""

from __future__ import annotations

from typing import Any

import pytest

from deepring_chain.audit.inputs import MOST_PLACES, restore_leaves
from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.calldata import CallEncoder
from deepring_chain.chain.events import forgiving_codec
from deepring_chain.protocol.events import RestoreOrdered
from deepring_chain.types import Address, ArrangementId, Digest, Position

ENCODER = CallEncoder(load_artifact().abi, forgiving_codec())


def digest(number: int) -> Any:
    return Digest(bytes([number]) * 32)


LEAVES, OTHERS = (digest(1), digest(2)), (digest(3),)
EVENT = RestoreOrdered(ArrangementId(1), Position(2), Address("0x" + "11" * 20), 1, *map(digest, (7, 8, 9, 11, 10)))
ORDER = ENCODER.encode("orderRestore", [2, list(LEAVES), digest(9), digest(10)])
OTHER_SEAT = ENCODER.encode("orderRestore", [1, list(OTHERS), digest(9), digest(10)])
REPORT = ENCODER.encode("reportRestore", [2, "layer.1.weight"])


def many(*calls: bytes) -> bytes:
    return ENCODER.encode("multicall", [list(calls)])


@pytest.mark.parametrize(
    "data", [ORDER, many(ORDER), many(REPORT, ORDER), many(many(REPORT), many(ORDER)), many(OTHER_SEAT, ORDER)]
)
def test_leaves_are_those_that_were_passed_for_this_order(data: bytes) -> None:
    assert restore_leaves(EVENT, data) == LEAVES


@pytest.mark.parametrize("before", [b"", bytes(3), REPORT, OTHER_SEAT, ORDER[:4], ORDER[:4] * MOST_PLACES])
def test_order_is_found_within_what_another_account_was_sent(before: bytes) -> None:
    """The owner's account runs code (EIP-7702), or a contract carries its call."""
    expected = () if before == ORDER[:4] * MOST_PLACES else LEAVES
    assert restore_leaves(EVENT, b"\xde\xad\xbe\xef" + before + ORDER + bytes(28)) == expected


@pytest.mark.parametrize("data", [b"", b"\x01", REPORT, many(REPORT), many(), ORDER[:4], ORDER[:40], many(ORDER[:70])])
def test_input_without_the_evidence_brings_none(data: bytes) -> None:
    assert restore_leaves(EVENT, data) == ()


def test_order_of_another_seat_is_shown_as_it_is() -> None:
    """The verifier refuses it for what it says."""
    assert restore_leaves(EVENT, many(REPORT, OTHER_SEAT)) == OTHERS
