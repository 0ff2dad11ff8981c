"""The calls within a multicall are found as the ledger finds them, in memory that the input bounds."""

from __future__ import annotations

import tracemalloc

import pytest
from eth_abi.abi import encode
from eth_utils import function_signature_to_4byte_selector

from deepring_chain.audit.inputs import MULTICALL, _parts
from tests.waiting import processor_seconds

SELECTOR = function_signature_to_4byte_selector(MULTICALL)


def multicall(*calls: bytes) -> bytes:
    return SELECTOR + encode(["bytes[]"], [calls])


def shared(call: bytes, times: int) -> bytes:
    """A multicall of one call many times over, whose bytes are there once."""
    words = [32, times, *([32 * times] * times), len(call)]
    return SELECTOR + b"".join(word.to_bytes(32, "big") for word in words) + call + bytes(-len(call) % 32)


@pytest.mark.parametrize("calls", [(), (b"",), (b"abcd", b"", b"x" * 100), (b"abcd",) * 20])
def test_calls_are_found(calls: tuple[bytes, ...]) -> None:
    assert _parts(multicall(*calls)) == list(calls)


def test_calls_within_calls_are_found() -> None:
    assert _parts(multicall(b"one.", multicall(b"two.", multicall(b"three")), b"four")) == [
        *(b"one.", b"two.", b"three", b"four"),
    ]


@pytest.mark.parametrize("size", [0, 4, 36, 68, 99])
def test_an_input_that_is_cut_short_is_taken_as_it_is(size: int) -> None:
    data = multicall(b"abcd", b"efgh")[:size]
    assert _parts(data) == [data]


def test_an_offset_beyond_the_input_is_taken_as_it_is() -> None:
    for word in (2**255, 2**64, 1000):
        data = SELECTOR + b"".join(value.to_bytes(32, "big") for value in (32, 1, word, 4)) + b"abcd"
        assert _parts(data) == [data]


def test_kilobytes_cannot_stand_for_gigabytes() -> None:
    bomb = b"abcd" * 8
    for _ in range(12):
        bomb = shared(bomb, 8)
    tracemalloc.start(1)
    with processor_seconds(2):
        assert _parts(bomb) == [bomb]
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
